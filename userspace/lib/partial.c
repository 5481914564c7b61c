// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file that is not complete yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "durable.h"
#include "partial.h"

int partial_init(struct partial *p, const char *path)
{
	memset(p, 0, sizeof(*p));
	p->path = path;
	p->fd = -1;
	if (snprintf(p->part, PATH_MAX, "%s.part", path) >= PATH_MAX ||
	    snprintf(p->state, PATH_MAX, "%s.state", path) >= PATH_MAX)
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(ENAMETOOLONG));
	return BOW_OK;
}

/* ---- FILE.state ------------------------------------------------------------------- */

int partial_save(struct partial *p)
{
	struct json_object *obj = json_report();

	json_add_string(obj, "id", p->id);
	json_add_string(obj, "since", p->since);
	json_add_number(obj, "size_bytes", p->size);
	json_add_string(obj, "stamp", p->stamp);
	json_add_number(obj, "position", p->position);
	json_add_number(obj, "complete", p->complete);
	json_add_number(obj, "file_bytes", p->sums.bytes);
	json_add_number(obj, "chunks", p->sums.chunks);
	json_add_number(obj, "data_bytes", p->sums.data_bytes);
	json_add_number(obj, "zero_bytes", p->sums.zero_bytes);
	json_add_number(obj, "header_crc", p->sums.header_crc);
	json_add_number(obj, "chunks_crc", p->sums.chunks_crc);
	return durable_write_json(p->state, obj);
}

static bool get_crc(struct json_object *obj, const char *key, u32 *crc)
{
	u64 number;

	if (!json_get_number(obj, key, &number) || number > UINT32_MAX)
		return false;
	*crc = (u32)number;
	return true;
}

static bool parse_state(struct json_object *obj, struct partial *p)
{
	struct increment_sums *sums = &p->sums;
	u64 complete;

	if (!json_get_number(obj, "complete", &complete))
		return false;
	p->complete = complete;
	return json_get_string(obj, "id", p->id, sizeof(p->id)) &&
	       json_get_string(obj, "since", p->since, sizeof(p->since)) &&
	       json_get_number(obj, "size_bytes", &p->size) &&
	       json_get_string(obj, "stamp", p->stamp, sizeof(p->stamp)) &&
	       json_get_number(obj, "position", &p->position) &&
	       json_get_number(obj, "file_bytes", &sums->bytes) &&
	       json_get_number(obj, "chunks", &sums->chunks) &&
	       json_get_number(obj, "data_bytes", &sums->data_bytes) &&
	       json_get_number(obj, "zero_bytes", &sums->zero_bytes) &&
	       get_crc(obj, "header_crc", &sums->header_crc) &&
	       get_crc(obj, "chunks_crc", &sums->chunks_crc) &&
	       p->position <= p->size && sums->bytes <= INT64_MAX;
}

static int read_state(const struct partial *p, struct partial *found)
{
	struct json_object *obj = durable_read_json(p->state);
	bool good;

	memset(found, 0, sizeof(*found));
	if (!obj)
		return fail(BOW_REFUSED, "remove %s and %s to start over", p->state, p->part);
	good = parse_state(obj, found);
	json_object_put(obj);
	return good ? BOW_OK : fail(BOW_REFUSED, "%s: not understood; remove it and %s to start over",
				    p->state, p->part);
}

static bool same_snapshot(const struct partial *p, const struct partial *other)
{
	return !strcmp(p->id, other->id) && !strcmp(p->since, other->since) &&
	       p->size == other->size;
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st) || errno != ENOENT;
}

int partial_tidy(const struct partial *p)
{
	if (unlink(p->state) && errno != ENOENT)
		return fail(BOW_SYSTEM, "%s: %s", p->state, strerror(errno));
	return BOW_OK;
}

int partial_check(struct partial *p, bool *complete)
{
	struct partial found;
	int status;

	*complete = false;
	if (!exists(p->path))
		return BOW_OK;
	if (!exists(p->state) || exists(p->part))
		return fail(BOW_REFUSED, "%s is there already; remove it, or choose another name",
			    p->path);
	status = read_state(p, &found);
	if (status)
		return status;
	if (!same_snapshot(p, &found) || !found.complete)
		return fail(BOW_REFUSED, "%s is there already, and %s is not about it; remove them",
			    p->path, p->state);
	*complete = true;
	p->sums = found.sums;
	return BOW_OK;
}

/* ---- FILE.part ----------------------------------------------------------------------- */

int partial_restart(struct partial *p)
{
	p->position = 0;
	p->complete = false;
	memset(&p->sums, 0, sizeof(p->sums));
	/* In this order: what is relied on is there. */
	if (partial_save(p))
		return BOW_SYSTEM;
	if (ftruncate(p->fd, 0) || lseek(p->fd, 0, SEEK_SET) < 0)
		return fail(BOW_SYSTEM, "%s: %s", p->part, strerror(errno));
	return BOW_OK;
}

/* Nobody else writes to it, and it is still the one of that name. */
static int lock_part(struct partial *p)
{
	struct stat st, named;

	p->fd = open(p->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", p->part, strerror(errno));
	if (flock(p->fd, LOCK_EX | LOCK_NB))
		return fail(BOW_REFUSED, "%s is being written by another process", p->part);
	if (fstat(p->fd, &st) || lstat(p->part, &named) || st.st_ino != named.st_ino ||
	    !S_ISREG(st.st_mode))
		return fail(BOW_REFUSED, "%s is not a file of ours", p->part);
	return BOW_OK;
}

static u64 part_size(const struct partial *p)
{
	struct stat st;

	return fstat(p->fd, &st) ? 0 : (u64)st.st_size;
}

/* Whatever lies behind what is durable may be anything. */
static int go_on(struct partial *p, const struct partial *found)
{
	if (part_size(p) < found->sums.bytes) {
		warn_msg("%s is shorter than it was; starting over", p->part);
		return partial_restart(p);
	}
	p->position = found->position;
	p->sums = found->sums;
	p->complete = found->complete;
	if (ftruncate(p->fd, (off_t)p->sums.bytes) ||
	    lseek(p->fd, (off_t)p->sums.bytes, SEEK_SET) < 0)
		return fail(BOW_SYSTEM, "%s: %s", p->part, strerror(errno));
	return BOW_OK;
}

static int begin(struct partial *p)
{
	if (part_size(p))
		return fail(BOW_REFUSED, "%s is there, but no %s; remove it", p->part, p->state);
	return partial_restart(p);
}

int partial_open(struct partial *p)
{
	struct partial found;
	int status = lock_part(p);

	if (status)
		return status;
	if (!exists(p->state))
		return begin(p);
	status = read_state(p, &found);
	if (status)
		return status;
	if (!same_snapshot(p, &found))
		return fail(BOW_REFUSED, "%s is a part of another export, of %s%s%s; finish that, or remove %s and %s",
			    p->part, found.id, *found.since ? " since " : "", found.since,
			    p->part, p->state);
	if (strcmp(p->stamp, found.stamp)) {
		warn_msg("the snapshot was written to since %s was begun; starting over", p->part);
		return partial_restart(p);
	}
	return go_on(p, &found);
}

int partial_finish(struct partial *p)
{
	int status;

	if (exists(p->path))
		return fail(BOW_REFUSED, "%s is there now; remove it, and run this again", p->path);
	status = durable_rename(p->part, p->path);
	return status ? status : partial_tidy(p);
}

void partial_close(struct partial *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}
