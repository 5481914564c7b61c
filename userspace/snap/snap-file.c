// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file as a store: made if there is none, and a device for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "snap.h"

/* From <linux/f2fs.h>, which is not everywhere. */
#define F2FS_IOC_SET_PIN_FILE_ _IOW(0xf5, 13, __u32)

#define UNLINK_TRIES 500	/* times 10 ms */

/* ---- where it lies -------------------------------------------------------------- */

static int place_store(struct snap_store *store, dev_t dev, const struct snap_list *list)
{
	unsigned int i;

	if (!major(dev))
		return fail(BOW_REFUSED, "%s: its filesystem is not on a single block device", store->path);
	store->below = dev;
	for (i = 0; i < list->nr; i++) {
		if (list->devs[i].number != dev || list->devs[i].kind == SNAP_FILE)
			continue;
		if (list->devs[i].kind == SNAP_IMAGE)
			return fail(BOW_REFUSED, "%s lies on an image; the store must not be part of a snapshot",
				    store->path);
		store->origin = dev;
		store->below = list->devs[i].lower;
	}
	return BOW_OK;
}

/* The device of a file that is a store already, whatever its name is by now. */
static const struct snap_dev *find_device(const struct snap_list *list, const struct stat *st)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_FILE && list->devs[i].file_dev == st->st_dev &&
		    list->devs[i].file_inode == st->st_ino)
			return &list->devs[i];
	return NULL;
}

static int check_existing(struct snap_store *store, const struct snap_list *list, int fd,
			  bool force)
{
	const struct snap_dev *dev;
	struct snap_map map;
	struct stat st;
	int status;

	if (fstat(fd, &st))
		return fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	status = snap_file_check_fs(store->path, fd);
	if (!status)
		status = place_store(store, st.st_dev, list);
	if (status)
		return status;
	dev = find_device(list, &st);
	if (dev) {
		store->number = dev->number;
		store->bytes = dev->sectors << 9;
		store->shared = true;
		return BOW_OK;
	}
	if (store->wanted_bytes)
		return fail(BOW_REFUSED, "%s is there already; leave --size away to use it as it is", store->path);
	status = snap_file_map(store->path, fd, &map);
	if (!status && map.written && !force)
		return fail(BOW_REFUSED, "%s has contents, which are lost if it becomes a store; choose another file, or use this one with --force",
			    store->path);
	store->bytes = map.sectors << 9;
	return status;
}

/* The directory of one that is yet to be made. */
static int check_new(struct snap_store *store, const struct snap_list *list)
{
	char *copy = strdup(store->path);
	int fd = -1, status = BOW_OK;
	struct stat st;

	if (copy)
		fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0 || fstat(fd, &st))
		status = fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	if (!status)
		status = snap_file_check_fs(store->path, fd);
	if (!status)
		status = place_store(store, st.st_dev, list);
	if (fd >= 0)
		close(fd);
	store->bytes = store->wanted_bytes;
	store->create = true;
	return status;
}

int snap_file_check(struct snap_store *store, const struct snap_list *list, bool force)
{
	int fd, status;

	store->is_file = true;
	snap_make_uuid(store->uuid, SNAP_FILE_PREFIX);
	if (strlen(store->path) >= PATH_MAX || *store->path != '/')
		return fail(BOW_USAGE, "%s: the file must be named from / on", store->path);
	fd = open(store->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		status = check_existing(store, list, fd, force);
		close(fd);
		return status;
	}
	if (errno != ENOENT)
		return fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	if (!store->wanted_bytes)
		return fail(BOW_REFUSED, "%s does not exist; --size says how large to make it", store->path);
	snap_make_uuid(store->uuid, SNAP_OWN_FILE_PREFIX);
	return check_new(store, list);
}

/* ---- making it --------------------------------------------------------------------- */

static int sync_directory(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd < 0 ? -1 : fsync(fd);

	free(copy);
	if (fd >= 0)
		close(fd);
	return r;
}

/*
 * Unwritten blocks: read through the filesystem they are zeroes, whatever lies there.
 * f2fs has none; it needs to be told, before it allocates, not to move them.
 */
static int fill_file(const struct snap_store *store, int fd)
{
	__u32 pin = 1;

	ioctl(fd, F2FS_IOC_SET_PIN_FILE_, &pin);
	if (fallocate(fd, 0, 0, (off_t)store->wanted_bytes) || fsync(fd) ||
	    sync_directory(store->path))
		return fail(BOW_SYSTEM, "%s: cannot allocate %llu bytes: %s", store->path,
			    (unsigned long long)store->wanted_bytes, strerror(errno));
	return BOW_OK;
}

static int create_file(struct snap_store *store)
{
	int fd = open(store->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;
	int status;

	if (fd < 0)
		return fail(BOW_SYSTEM, "%s: cannot create it: %s", store->path, strerror(errno));
	if (fstat(fd, &st)) {
		status = fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
		close(fd);
		return status;
	}
	store->created = true;
	store->file_dev = st.st_dev;
	store->file_inode = st.st_ino;
	status = fill_file(store, fd);
	close(fd);	/* a pin wants no writers */
	return status;
}

/* As one word of a table; 0xa0 is white space to the kernel. */
static void escape(char *text, const char *path)
{
	for (; *path; path++) {
		if (strchr(" \\\xa0", *path))
			text += sprintf(text, "\\%03o", (unsigned char)*path);
		else
			*text++ = *path;
	}
	*text = '\0';
}

static int create_device(struct snap_store *store, const struct snap_map *map)
{
	char escaped[4 * PATH_MAX], table[4 * PATH_MAX + 128];
	struct snap_dev dev;
	int r, status;

	snprintf(store->name, sizeof(store->name), SNAP_FILE_NAME "%.8s",
		 strrchr(store->uuid, '-') + 1);
	escape(escaped, store->path);
	snprintf(table, sizeof(table), "0 %llu " SNAP_FILE_TARGET " %u:%u %s 3 extents %u %08x\n",
		 (unsigned long long)map->sectors, major(store->below), minor(store->below),
		 escaped, map->nr, map->crc);
	r = snap_create(store->name, store->uuid, table, true);
	if (r) {
		bow_dm_print_log();
		return fail(BOW_SYSTEM, "%s: cannot pin it: %s; the kernel log says why ('dmesg | tail')",
			    store->path, r == -ETXTBSY ? "somebody has it open for writing" : strerror(-r));
	}
	status = snap_dev_read(store->name, &dev);
	store->number = dev.number;
	store->bytes = map->sectors << 9;
	return status;
}

int snap_file_open(struct snap_store *store)
{
	struct snap_map map;
	int fd, status = BOW_OK;

	if (!store->is_file || store->shared)
		return BOW_OK;
	if (store->create)
		status = create_file(store);
	if (status)
		return status;
	fd = open(store->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	status = snap_file_map(store->path, fd, &map);
	close(fd);
	return status ? status : create_device(store, &map);
}

/* ---- giving it up ------------------------------------------------------------------- */

/* Is the file of that name still the one that is meant? */
static bool is_file(int dir, const char *base, dev_t dev, ino_t inode)
{
	struct stat st;

	return !fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
	       st.st_dev == dev && st.st_ino == inode;
}

/* The kernel lets go of a file a little after its device. */
static int unlink_in(int dir, const char *base, dev_t dev, ino_t inode)
{
	unsigned int i;

	for (i = 0; i < UNLINK_TRIES; i++) {
		if (!is_file(dir, base, dev, inode))
			return -ESTALE;
		if (!unlinkat(dir, base, 0))
			return 0;
		if (errno != EPERM && errno != EBUSY && errno != ETXTBSY)
			return -errno;
		usleep(10000);
	}
	return -EBUSY;
}

static int unlink_file(const char *path, dev_t dev, ino_t inode)
{
	char *parent = strdup(path), *name = strdup(path);
	int dir = -1, r = -ENOMEM;

	if (parent && name) {
		dir = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = dir < 0 ? -errno : unlink_in(dir, basename(name), dev, inode);
	}
	if (dir >= 0)
		close(dir);
	free(parent);
	free(name);
	return r;
}

void snap_file_undo(const struct snap_store *store)
{
	if (!store->is_file || store->shared)
		return;
	/* If an older snapshot needs it by now, it goes with that. */
	if (*store->name && bow_dm_exists(store->name) && snap_remove_uuid(store->uuid))
		return;
	if (store->created)
		unlink_file(store->path, store->file_dev, store->file_inode);
}

static int remove_file(const struct snap_dev *dev)
{
	int r = snap_remove_uuid(dev->uuid);

	if (r)
		return fail(BOW_SYSTEM, "cannot remove %s: %s", dev->name, strerror(-r));
	if (strncmp(dev->uuid, SNAP_OWN_FILE_PREFIX, strlen(SNAP_OWN_FILE_PREFIX)))
		return BOW_OK;	/* it was there before us */
	r = unlink_file(dev->path, dev->file_dev, dev->file_inode);
	if (r == -ESTALE)
		return fail(BOW_SYSTEM, "%s is not the store's file any more; that has another name by now, and is left over",
			    dev->path);
	if (r)
		return fail(BOW_SYSTEM, "%s is left over: cannot remove it: %s", dev->path, strerror(-r));
	return BOW_OK;
}

static bool is_needed(const struct snap_list *list, const struct snap_dev *file)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_IMAGE && list->devs[i].store == file->number)
			return true;
	/* Snapshots that are gone may have left it something that older ones need. */
	return file->open_count;
}

int snap_files_sweep(void)
{
	struct snap_list list;
	unsigned int i;
	int r, status = snap_list_read(&list);

	if (status)
		return status;
	for (i = 0; i < list.nr; i++) {
		if (list.devs[i].kind != SNAP_FILE || is_needed(&list, &list.devs[i]) ||
		    strncmp(list.devs[i].uuid, SNAP_UUID_PREFIX, strlen(SNAP_UUID_PREFIX)))
			continue;
		r = remove_file(&list.devs[i]);
		status = status ? status : r;
	}
	snap_list_free(&list);
	return status;
}
