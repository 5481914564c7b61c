// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A store that was a file, after a reboot: it gets its device again, for as long as
 * somebody works on it. So the file is pinned meanwhile, and the kernel, which asks the
 * filesystem, says where it is. Through the filesystem it is zeroes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm-cow-env.h"
#include "snap.h"

#define BATCH 64	/* extents looked at, and pages */

/* ---- is it one? ----------------------------------------------------------------- */

/* As the kernel pins it: from the first whole page on that is in one piece. */
static bool find_page(const struct fiemap *map, u64 *sector)
{
	u64 page = (u64)sysconf(_SC_PAGESIZE), start = 0, end = 0;
	u32 i;

	for (i = 0; i < map->fm_mapped_extents; i++) {
		const struct fiemap_extent *fe = &map->fm_extents[i];

		if (fe->fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_NOT_ALIGNED))
			return false;
		if (!i || fe->fe_physical != end)
			start = (fe->fe_physical + page - 1) / page * page;
		end = fe->fe_physical + fe->fe_length;
		*sector = start >> 9;
		if (end >= start + page)
			return true;
	}
	return false;
}

/* Silent: any file may be asked about. */
static bool find_start(int fd, u64 *sector)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
	} buf;

	memset(&buf, 0, sizeof(buf));
	buf.map.fm_length = BATCH * (u64)sysconf(_SC_PAGESIZE);
	buf.map.fm_extent_count = BATCH;
	return !ioctl(fd, FS_IOC_FIEMAP, &buf.map) && find_page(&buf.map, sector);
}

static bool shows_log(int fd)
{
	char magic[COW_LOG_MAGIC_SIZE];

	return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	       !memcmp(magic, COW_LOG_MAGIC, sizeof(magic));
}

/* An image has been written through the filesystem, which shows what is in it. */
static bool is_store(int fd)
{
	struct stat st;
	bool shown;
	u64 sector;
	int has;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !major(st.st_dev))
		return false;
	shown = shows_log(fd);
	if (shown && !snap_file_always_written(fd))
		return false;
	/* What is shown may be in the page cache only, from before a rollback. */
	if (!find_start(fd, &sector))
		return false;
	has = shown ? 1 : snap_store_has_log(st.st_dev, sector);
	/* Of what cannot be read nobody is to hear that there is nothing in it. */
	return has > 0 || has == -EIO;
}

bool snap_was_store(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	bool yes = fd >= 0 && is_store(fd);

	if (fd >= 0)
		close(fd);
	return yes;
}

/* ---- its device ----------------------------------------------------------------- */

/* Mounted, it cannot be rolled back; and then the file is not to be had. */
static int check_apart(const struct snap_store *store, const char *origin)
{
	struct stat st;

	if (stat(origin, &st) || !S_ISBLK(st.st_mode) ||
	    (!snap_above(store->below, st.st_rdev) && store->origin != st.st_rdev))
		return BOW_OK;
	return fail(BOW_REFUSED, "%s lies on %s, which is mounted", store->path, origin);
}

static int make_device(struct snap_reopened *again, const char *origin)
{
	struct snap_store *store = &again->store;
	struct snap_list list;
	int status = snap_list_read(&list);

	if (status)
		return status;
	status = snap_file_check(store, &list, true);
	if (!status)
		status = check_apart(store, origin);
	if (!status)
		status = snap_store_check_kept(store, &list);
	snap_list_free(&list);
	if (status)
		return status;
	/* Or it is left over from one of us who was killed. */
	again->ours = !store->in_use &&
		!strncmp(store->uuid, SNAP_FILE_PREFIX, strlen(SNAP_FILE_PREFIX));
	return snap_file_open(store);
}

int snap_reopen(struct snap_reopened *again, const char *path, const char *origin)
{
	struct snap_store *store = &again->store;
	int status;

	memset(again, 0, sizeof(*again));
	store->path = path;
	status = make_device(again, origin);
	if (status) {
		snap_file_undo(store);
		return status;
	}
	device_path(store->number, again->node);
	return BOW_OK;
}

void snap_reopen_end(const struct snap_reopened *again)
{
	int r = snap_remove_uuid(again->store.uuid);

	if (r && r != -ENXIO)
		warn_msg("%s is still pinned: 'dmsetup remove %s': %s", again->store.path,
			 again->store.name, strerror(-r));
}
