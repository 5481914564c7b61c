// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Increments, written and read.
 */
#include <errno.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "command.h"
#include "durable.h"
#include "increment.h"

#define CRC_SEED (~0U)
#define BUFFER_ALIGN 4096

const char *increment_id(char id[INCREMENT_ID], const struct increment_info *info, u64 number)
{
	char generation[UUID_TEXT];

	snprintf(id, INCREMENT_ID, "%s:%u", format_uuid(generation, info->generation),
		 (unsigned int)(number % (INCREMENT_MAX_NUMBER + 1)));
	return id;
}

/* A chunk of another increment is no chunk of this one. */
static u32 bound_crc(const struct increment_sums *sums, const void *data, size_t len)
{
	__le32 header_crc = cpu_to_le32(sums->header_crc);

	return ~crc32c(crc32c(CRC_SEED, &header_crc, sizeof(header_crc)), data, len);
}

static void add_up(struct increment_sums *sums, enum increment_kind kind, u64 length,
		   __le32 crc)
{
	sums->chunks++;
	sums->bytes += sizeof(struct increment_chunk);
	if (kind == INCREMENT_DATA) {
		sums->bytes += length;
		sums->data_bytes += length;
	} else {
		sums->zero_bytes += length;
	}
	sums->chunks_crc = crc32c(sums->chunks_crc, &crc, sizeof(crc));
}

/* ---- writing -------------------------------------------------------------------- */

static int append(struct increment_writer *w, const void *data, size_t len)
{
	return durable_write(w->fd, w->path, data, len, DURABLE_APPEND);
}

int increment_begin(struct increment_writer *w, const struct increment_info *info)
{
	struct increment_header header = {
		.magic = INCREMENT_MAGIC,
		.version = cpu_to_le32(INCREMENT_VERSION),
		.header_bytes = cpu_to_le32(sizeof(header)),
		.since = cpu_to_le64(info->since),
		.number = cpu_to_le64(info->number),
		.size = cpu_to_le64(info->size),
		.time = cpu_to_le64(info->time),
		.block_bytes = cpu_to_le32(info->block_bytes),
	};
	u32 crc;

	memcpy(header.generation, info->generation, sizeof(header.generation));
	memcpy(header.origin, info->origin, strnlen(info->origin, INCREMENT_NAME - 1));
	crc = cow_crc(&header, offsetof(struct increment_header, crc));
	header.crc = cpu_to_le32(crc);
	w->sums = (struct increment_sums) {
		.bytes = sizeof(header), .header_crc = crc, .chunks_crc = CRC_SEED,
	};
	return append(w, &header, sizeof(header));
}

int increment_put(struct increment_writer *w, u64 offset, const void *data, u64 length)
{
	enum increment_kind kind = data ? INCREMENT_DATA : INCREMENT_ZERO;
	struct increment_chunk chunk = {
		.kind = cpu_to_le32(kind),
		.data_crc = cpu_to_le32(data ? cow_crc(data, length) : 0),
		.offset = cpu_to_le64(offset),
		.length = cpu_to_le64(length),
	};
	int status;

	chunk.crc = cpu_to_le32(bound_crc(&w->sums, &chunk,
					  offsetof(struct increment_chunk, crc)));
	status = append(w, &chunk, sizeof(chunk));
	if (!status && data)
		status = append(w, data, length);
	if (!status)
		add_up(&w->sums, kind, length, chunk.crc);
	return status;
}

int increment_end(struct increment_writer *w)
{
	struct increment_end end = {
		.kind = cpu_to_le32(INCREMENT_END),
		.chunks = cpu_to_le64(w->sums.chunks),
		.data_bytes = cpu_to_le64(w->sums.data_bytes),
		.zero_bytes = cpu_to_le64(w->sums.zero_bytes),
		.chunks_crc = cpu_to_le32(~w->sums.chunks_crc),
	};
	int status;

	end.crc = cpu_to_le32(bound_crc(&w->sums, &end, offsetof(struct increment_end, crc)));
	status = append(w, &end, sizeof(end));
	if (!status)
		w->sums.bytes += sizeof(end);
	return status;
}

/* ---- reading --------------------------------------------------------------------- */

static int damaged(const struct increment_reader *r, const char *what)
{
	return fail(BOW_DAMAGED, "%s: damaged at byte %llu: %s", r->path,
		    (unsigned long long)r->sums.bytes, what);
}

/* As much as there is of @len bytes at @at: -1 and the reason told, or how many. */
static ssize_t read_some(const struct increment_reader *r, void *buf, size_t len, u64 at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(r->fd, (u8 *)buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_msg("%s: read: %s", r->path, strerror(errno));
			return -1;
		}
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int read_all(const struct increment_reader *r, void *buf, size_t len, u64 at)
{
	ssize_t got = read_some(r, buf, len, at);

	if (got < 0)
		return BOW_SYSTEM;
	if ((size_t)got < len)
		return fail(BOW_DAMAGED, "%s: incomplete: nothing comes after byte %llu", r->path,
			    (unsigned long long)at + (u64)got);
	return BOW_OK;
}

/* Only what is believed by its checksum is looked at. */
static int check_header(const struct increment_reader *r, const struct increment_header *h)
{
	if (memcmp(h->magic, INCREMENT_MAGIC, sizeof(h->magic)))
		return fail(BOW_DAMAGED, "%s is not an increment", r->path);
	if (cow_crc(h, offsetof(struct increment_header, crc)) != le32_to_cpu(h->crc))
		return damaged(r, "checksum of the header");
	if (le32_to_cpu(h->version) != INCREMENT_VERSION || h->features_incompat ||
	    le32_to_cpu(h->header_bytes) != sizeof(*h))
		return fail(BOW_REFUSED, "%s: made by a newer version of this tool; use that",
			    r->path);
	return BOW_OK;
}

static bool possible(const struct increment_info *info)
{
	return info->since && info->since < info->number &&
	       info->number <= INCREMENT_MAX_NUMBER &&
	       info->size && !(info->size & 511) && info->size <= INT64_MAX &&
	       is_power_of_2(info->block_bytes) &&
	       info->block_bytes >= INCREMENT_MIN_BLOCK &&
	       info->block_bytes <= INCREMENT_MAX_BLOCK &&
	       memchr(info->origin, '\0', sizeof(info->origin));
}

static int read_header(struct increment_reader *r)
{
	struct increment_info *info = &r->info;
	struct increment_header h;
	int status = read_all(r, &h, sizeof(h), 0);

	if (!status)
		status = check_header(r, &h);
	if (status)
		return status;
	memcpy(info->generation, h.generation, sizeof(info->generation));
	memcpy(info->origin, h.origin, sizeof(info->origin));
	info->since = le64_to_cpu(h.since);
	info->number = le64_to_cpu(h.number);
	info->size = le64_to_cpu(h.size);
	info->time = le64_to_cpu(h.time);
	info->block_bytes = le32_to_cpu(h.block_bytes);
	r->sums.header_crc = le32_to_cpu(h.crc);
	return possible(info) ? BOW_OK : damaged(r, "impossible numbers in the header");
}

void increment_rewind(struct increment_reader *r)
{
	r->sums = (struct increment_sums) {
		.bytes = sizeof(struct increment_header),
		.header_crc = r->sums.header_crc, .chunks_crc = CRC_SEED,
	};
	r->end = 0;
}

int increment_open(struct increment_reader *r, int fd, const char *path)
{
	int status;

	*r = (struct increment_reader) { .fd = fd, .path = path };
	status = read_header(r);
	if (status)
		return status;
	r->data = aligned_alloc(BUFFER_ALIGN, INCREMENT_MAX_DATA);
	if (!r->data)
		return fail(BOW_SYSTEM, "out of memory");
	increment_rewind(r);
	return BOW_OK;
}

static int check_end(struct increment_reader *r, const struct increment_chunk *first)
{
	struct increment_end end;
	char more;
	ssize_t got;
	int status;

	memcpy(&end, first, sizeof(*first));
	status = read_all(r, (u8 *)&end + sizeof(*first), sizeof(end) - sizeof(*first),
			  r->sums.bytes + sizeof(*first));
	if (status)
		return status;
	if (bound_crc(&r->sums, &end, offsetof(struct increment_end, crc)) !=
	    le32_to_cpu(end.crc))
		return damaged(r, "checksum of the end");
	if (le64_to_cpu(end.chunks) != r->sums.chunks ||
	    le64_to_cpu(end.data_bytes) != r->sums.data_bytes ||
	    le64_to_cpu(end.zero_bytes) != r->sums.zero_bytes ||
	    le32_to_cpu(end.chunks_crc) != ~r->sums.chunks_crc)
		return damaged(r, "chunks are missing, or have been exchanged");
	r->sums.bytes += sizeof(end);
	got = read_some(r, &more, 1, r->sums.bytes);
	if (got < 0)
		return BOW_SYSTEM;
	return got ? damaged(r, "something lies behind its end") : BOW_OK;
}

/* In ascending order, within the device. */
static bool chunk_possible(const struct increment_reader *r)
{
	u64 size = r->info.size;

	if (r->kind != INCREMENT_DATA && r->kind != INCREMENT_ZERO)
		return false;
	if (r->kind == INCREMENT_DATA && r->length > INCREMENT_MAX_DATA)
		return false;
	return r->length && !((r->offset | r->length) & 511) && r->offset >= r->end &&
	       r->offset <= size && r->length <= size - r->offset;
}

static int read_data(struct increment_reader *r, const struct increment_chunk *chunk)
{
	int status;

	if (r->kind != INCREMENT_DATA)
		return BOW_OK;
	status = read_all(r, r->data, r->length, r->sums.bytes + sizeof(*chunk));
	if (!status && cow_crc(r->data, r->length) != le32_to_cpu(chunk->data_crc))
		return damaged(r, "checksum of the data");
	return status;
}

int increment_next(struct increment_reader *r)
{
	struct increment_chunk chunk;
	int status = read_all(r, &chunk, sizeof(chunk), r->sums.bytes);

	if (status)
		return status;
	r->kind = le32_to_cpu(chunk.kind);
	if (r->kind == INCREMENT_END)
		return check_end(r, &chunk);
	if (bound_crc(&r->sums, &chunk, offsetof(struct increment_chunk, crc)) !=
	    le32_to_cpu(chunk.crc))
		return damaged(r, "checksum of a chunk");
	r->offset = le64_to_cpu(chunk.offset);
	r->length = le64_to_cpu(chunk.length);
	if (!chunk_possible(r))
		return damaged(r, "an impossible chunk");
	status = read_data(r, &chunk);
	if (status)
		return status;
	add_up(&r->sums, r->kind, r->length, chunk.crc);
	r->end = r->offset + r->length;
	return BOW_OK;
}

void increment_close(struct increment_reader *r)
{
	free(r->data);
	r->data = NULL;
}
