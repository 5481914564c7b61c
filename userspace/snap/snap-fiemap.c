// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where a file's blocks are, and whether they can be a store.
 *
 * The kernel asks the filesystem once more when it pins the file, and its answer is
 * the one that counts; the two must be the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "inside.h"
#include "snap.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#define BATCH 128	/* extents asked for at a time */

/* What an extent may be; anything else is refused, what is yet to come included. */
#define GOOD_FLAGS (FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_MERGED)

static const struct {
	u32 flag;
	const char *what;
} bad_flags[] = {
	{ FIEMAP_EXTENT_SHARED, "shares blocks with another file or snapshot" },
	{ FIEMAP_EXTENT_DELALLOC, "has blocks that are not allocated yet" },
	{ FIEMAP_EXTENT_DATA_ENCRYPTED, "is encrypted" },
	{ FIEMAP_EXTENT_ENCODED, "is compressed or encrypted" },
	{ FIEMAP_EXTENT_DATA_INLINE, "is stored within metadata" },
	{ FIEMAP_EXTENT_DATA_TAIL, "shares a block with other files" },
	{ FIEMAP_EXTENT_NOT_ALIGNED, "has parts of blocks" },
	{ FIEMAP_EXTENT_UNKNOWN, "has blocks in places unknown" },
};

static const char *why_bad(u32 flags)
{
	size_t i;

	for (i = 0; i < sizeof(bad_flags) / sizeof(*bad_flags); i++)
		if (flags & bad_flags[i].flag)
			return bad_flags[i].what;
	return flags & ~GOOD_FLAGS ? "has extents of a kind that is not known" : NULL;
}

static const struct {
	u64 attribute;
	const char *what;
} bad_attributes[] = {
	{ STATX_ATTR_ENCRYPTED, "is encrypted" },
	{ STATX_ATTR_COMPRESSED, "is compressed, or would be" },
	{ STATX_ATTR_VERITY, "is sealed by fs-verity" },
};

/* What FIEMAP need not tell of. */
static const char *why_bad_kind(int fd)
{
	struct fsxattr attr;
	struct statx stx;
	size_t i;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx))
		return "does not tell its attributes";
	for (i = 0; i < ARRAY_SIZE(bad_attributes); i++)
		if (stx.stx_attributes & bad_attributes[i].attribute)
			return bad_attributes[i].what;
	/* Its device is not the one that stat() names. */
	if (!ioctl(fd, FS_IOC_FSGETXATTR, &attr) && attr.fsx_xflags & FS_XFLAG_REALTIME)
		return "is on the realtime device";
	return NULL;
}

int snap_file_check_fs(const char *path, int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(errno));
	if (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
	    fs.f_type == F2FS_SUPER_MAGIC)
		return BOW_OK;
	return fail(BOW_REFUSED, "%s: a store can be a file of ext4, xfs or f2fs; other filesystems do not say for sure where its blocks are, or have none",
		    path);
}

bool snap_file_always_written(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == F2FS_SUPER_MAGIC;
}

/* ---- adding up --------------------------------------------------------------- */

struct reader {
	const char *path;
	struct snap_map *map;
	u64 logical;		/* bytes: all before it is known */
	u64 start, end;		/* bytes on the device: the run gathered so far */
	u64 last_end;		/* sectors: of the last extent added, 0: none */
	u64 last_start;
	u64 device_end;		/* bytes */
	bool last;
};

static void add_pair(struct snap_map *map, u64 place, u64 sectors)
{
	__le64 pair[2] = { cpu_to_le64(place), cpu_to_le64(sectors) };

	if (!map->nr) {
		map->first = place;
		map->first_sectors = sectors;
	}
	if (map->table && map->nr < SNAP_EXTENTS_MAX) {
		map->table->extents[map->nr].place = pair[0];
		map->table->extents[map->nr].sectors = pair[1];
	}
	map->grain |= place | sectors;
	map->crc = crc32c(map->crc, pair, sizeof(pair));
	map->nr++;
	map->sectors += sectors;
}

/* Only whole pages of a run count: the kernel pins by the page. */
static void end_run(struct reader *rd)
{
	u64 page = (u64)sysconf(_SC_PAGESIZE);
	u64 start = (rd->start + page - 1) / page * page, end = rd->end / page * page;

	if (start < end)
		add_pair(rd->map, start >> 9, (end - start) >> 9);
}

static int add_extent(struct reader *rd, const struct fiemap_extent *fe, u64 size)
{
	const char *why = why_bad(fe->fe_flags);
	u64 length = fe->fe_length;

	if (why)
		return fail(BOW_REFUSED, "%s %s; a store must have blocks of its own", rd->path, why);
	if (fe->fe_logical != rd->logical)
		return fail(BOW_REFUSED, "%s has holes; 'fallocate' it", rd->path);
	if (fe->fe_physical > rd->device_end || length > rd->device_end - fe->fe_physical)
		return fail(BOW_REFUSED, "%s has blocks that are not on its filesystem's first device; a store must be on one device",
			    rd->path);
	/* What is allocated behind its end is not the file's. */
	if (length > size - rd->logical)
		length = size - rd->logical;
	if (fe->fe_physical != rd->end) {
		end_run(rd);
		rd->start = fe->fe_physical;
	}
	rd->end = fe->fe_physical + length;
	rd->logical += length;
	rd->last = fe->fe_flags & FIEMAP_EXTENT_LAST || rd->logical == size;
	rd->map->written |= !(fe->fe_flags & FIEMAP_EXTENT_UNWRITTEN);
	return BOW_OK;
}

static int read_batch(struct reader *rd, int fd, u64 size)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
	} buf;
	int status = BOW_OK;
	u32 i;

	memset(&buf, 0, sizeof(buf));
	buf.map.fm_start = rd->logical;
	buf.map.fm_length = size - rd->logical;
	buf.map.fm_flags = FIEMAP_FLAG_SYNC;
	buf.map.fm_extent_count = BATCH;
	if (ioctl(fd, FS_IOC_FIEMAP, &buf.map))
		return fail(BOW_SYSTEM, "%s: cannot read where its blocks are: %s",
			    rd->path, strerror(errno));
	if (!buf.map.fm_mapped_extents)
		return fail(BOW_REFUSED, "%s has holes; 'fallocate' it", rd->path);
	for (i = 0; i < buf.map.fm_mapped_extents && !status && !rd->last; i++)
		status = add_extent(rd, &buf.map.fm_extents[i], size);
	return status;
}

int snap_file_map(const char *path, int fd, struct snap_map *map)
{
	struct reader rd = { .path = path, .map = map };
	u64 page = (u64)sysconf(_SC_PAGESIZE), size;
	const char *why = why_bad_kind(fd);
	char device[32];
	struct stat st;
	int status = BOW_OK;

	*map = (struct snap_map) { .crc = ~0U, .table = map->table };
	if (why)
		return fail(BOW_REFUSED, "%s %s; a store must have plain blocks of its own", path, why);
	if (fstat(fd, &st))
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(errno));
	snprintf(device, sizeof(device), "%u:%u", major(st.st_dev), minor(st.st_dev));
	rd.device_end = snap_device_sectors(device) << 9;
	size = (u64)st.st_size / page * page;
	while (!status && rd.logical < size && !rd.last)
		status = read_batch(&rd, fd, size);
	if (status)
		return status;
	if (rd.logical != size)
		return fail(BOW_REFUSED, "%s has holes; 'fallocate' it", path);
	end_run(&rd);
	if (!map->sectors)
		return fail(BOW_REFUSED, "%s has not a single page in one piece; 'fallocate' it", path);
	if (map->nr > SNAP_MAX_EXTENTS)
		return fail(BOW_REFUSED, "%s lies in %u pieces, more than %u: free space is fragmented; use another filesystem, or a device",
			    path, map->nr, SNAP_MAX_EXTENTS);
	return BOW_OK;
}
