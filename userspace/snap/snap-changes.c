// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What has changed on an origin, as the target blksnap-map tells it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-blksnap-map.h>
#include <unistd.h>

#include "snap.h"

#define BUFFER (1U << 20)	/* bytes read at a time */

/* ---- names of snapshots --------------------------------------------------------- */

void snap_id(char id[SNAP_ID], const struct snap_dev *origin, const struct snap_dev *image)
{
	*id = '\0';
	if (origin && origin->cbt_bytes && image->cbt_number)
		snprintf(id, SNAP_ID, "%s:%u", origin->generation,
			 (unsigned int)image->cbt_number);
}

int snap_parse_id(const char *id, const struct snap_dev *origin, const struct snap_dev *image,
		  u64 *number)
{
	const char *colon = strchr(id, ':');

	if (!colon || colon - id != UUID_TEXT - 1 || parse_number(colon + 1, number))
		return fail(BOW_USAGE, "'%s' is not the id of a snapshot, as 'blksnap list --json' has it", id);
	if (strncmp(id, origin->generation, UUID_TEXT - 1))
		return fail(BOW_DONE, "%s: what has changed since then is not known any more; start over with all of %s",
			    id, image->name);
	if (*number > image->cbt_number)
		return fail(BOW_REFUSED, "%s is younger than %s", id, image->name);
	return BOW_OK;
}

int snap_image_read(struct snap_list *list, const char *name, const struct snap_dev **image,
		    const struct snap_dev **origin)
{
	struct snap_dev dev;
	unsigned int i;
	int status = snap_list_read(list);

	*image = NULL;
	if (!status)
		status = snap_dev_read(name, &dev);
	for (i = 0; i < list->nr && !status; i++)
		if (list->devs[i].kind == SNAP_IMAGE && list->devs[i].number == dev.number)
			*image = &list->devs[i];
	if (!status && !*image)
		status = fail(BOW_REFUSED, "%s is not an image; 'blksnap list' lists them", name);
	if (status)
		return status;
	*origin = snap_origin_of(list, *image);
	if (!*origin || strcmp((*image)->state, "active"))
		return fail(BOW_REFUSED, "%s is lost: its state is '%s'", name, (*image)->state);
	if (!(*origin)->cbt_bytes || !(*image)->cbt_number)
		return fail(BOW_REFUSED, "%s: changed blocks are not tracked, or their numbers have begun anew since", name);
	return BOW_OK;
}

/* ---- reading ------------------------------------------------------------------------ */

struct walk {
	u64 size, block;	/* bytes, of the origin and of what is tracked */
	u64 since;
	u64 start, end;		/* bytes: the range gathered so far */
	int (*fn)(u64 start, u64 length, void *data);
	void *data;
};

static int end_range(struct walk *walk)
{
	u64 end = min(walk->end, walk->size), length = end - walk->start;

	return walk->start < end ? walk->fn(walk->start, length, walk->data) : BOW_OK;
}

static int add_value(struct walk *walk, u64 block, u32 value)
{
	u64 start = block * walk->block;
	int status = BOW_OK;

	if (value <= walk->since)
		return BOW_OK;
	if (start != walk->end) {
		status = end_range(walk);
		walk->start = start;
	}
	walk->end = start + walk->block;
	return status;
}

static int check_header(const struct snap_map_header *header, const struct walk *walk,
			const struct snap_dev *image)
{
	if (memcmp(header->magic, SNAP_MAP_MAGIC, sizeof(header->magic)) ||
	    le32_to_cpu(header->version) != SNAP_MAP_VERSION ||
	    le32_to_cpu(header->number) != image->cbt_number ||
	    le64_to_cpu(header->sectors) << 9 != walk->size ||
	    (u64)le32_to_cpu(header->block_sectors) << 9 != walk->block)
		return fail(BOW_SYSTEM, "the map of what has changed is not understood: tool and kernel module are of different versions");
	return BOW_OK;
}

static int walk_values(struct walk *walk, const u8 *buf, u64 from, u64 length)
{
	const __le16 *value = (const __le16 *)buf;
	u64 block = from / sizeof(*value), nr = length / sizeof(*value);
	int status = BOW_OK;

	for (; nr && !status; nr--, block++)
		status = add_value(walk, block, le16_to_cpu(*value++));
	return status;
}

/* Direct reads: what lies in the page cache may have been true some time ago. */
static int read_map(int fd, struct walk *walk, const struct snap_dev *image, u64 bytes)
{
	u8 *buf = aligned_alloc(4096, BUFFER);
	int status = buf ? BOW_OK : fail(BOW_SYSTEM, "out of memory");
	ssize_t got;
	u64 at = 0;

	while (!status && at < bytes) {
		u64 skip = at ? 0 : SNAP_MAP_START;

		got = pread(fd, buf, min((u64)BUFFER, bytes - at), (off_t)at);
		if (got <= (ssize_t)skip)
			status = fail(BOW_SYSTEM, "cannot read what has changed: %s",
				      got < 0 ? strerror(errno) : "it ends too early");
		if (!status && !at)
			status = check_header((struct snap_map_header *)buf, walk, image);
		if (!status)
			status = walk_values(walk, buf + skip, at + skip - SNAP_MAP_START,
					     (u64)got - skip);
		at += (u64)(got < 0 ? 0 : got);
	}
	free(buf);
	return status ? status : end_range(walk);
}

/* It goes when it is closed, however that comes about. */
static int open_map(const struct snap_dev *origin, const struct snap_dev *image, u64 sectors)
{
	char uuid[BOW_DM_NAME], name[BOW_DM_NAME], table[256], node[BOW_DM_NAME + 16];
	int fd, r;

	snap_make_uuid(uuid, SNAP_MAP_PREFIX);
	snprintf(name, sizeof(name), SNAP_MAP_NAME "%.12s", strrchr(uuid, '-') + 1);
	snprintf(table, sizeof(table), "0 %llu " SNAP_MAP_TARGET " %s %s %llu\n",
		 (unsigned long long)sectors, origin->lower_text, origin->generation,
		 (unsigned long long)image->cbt_number);
	r = snap_create(name, uuid, table, true);
	if (r) {
		bow_dm_print_log();
		error_msg("cannot read what has changed: %s", strerror(-r));
		return -1;
	}
	snprintf(node, sizeof(node), "/dev/mapper/%s", name);
	fd = open(node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		error_msg("%s: %s", node, strerror(errno));
	snap_remove_later(uuid);
	return fd;
}

int snap_changes_each(const struct snap_dev *origin, const struct snap_dev *image, u64 since,
		      int (*fn)(u64 start, u64 length, void *data), void *data)
{
	struct walk walk = {
		.size = origin->sectors << 9, .block = origin->cbt_bytes,
		.since = since, .fn = fn, .data = data,
	};
	u64 blocks = (walk.size - 1) / walk.block + 1;
	u64 bytes = SNAP_MAP_START + blocks * sizeof(__le16);
	int fd, status;

	bytes = (bytes + 511) / 512 * 512;
	fd = open_map(origin, image, bytes >> 9);
	if (fd < 0)
		return BOW_SYSTEM;
	status = read_map(fd, &walk, image, bytes);
	close(fd);
	return status;
}
