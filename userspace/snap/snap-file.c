// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file as a store: made if there is none, and a device for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm-cow-env.h"
#include "durable.h"
#include "inside.h"
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

/* Is it one of the files of that store? */
static bool is_part(const struct snap_dev *dev, const struct stat *st)
{
	struct snap_dev *parts;
	unsigned int i, nr;
	bool found = false;

	if (dev->kind != SNAP_FILE || dev->file_dev != st->st_dev)
		return false;
	if (dev->file_inode == st->st_ino)
		return true;
	if (snap_parts_read(dev->name, &parts, &nr))
		return false;
	for (i = 0; i < nr; i++)
		found |= parts[i].file_inode == st->st_ino;
	free(parts);
	return found;
}

const struct snap_dev *snap_file_find(const struct snap_list *list, const struct stat *st)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (is_part(&list->devs[i], st))
			return &list->devs[i];
	return NULL;
}

int snap_file_share(struct snap_store *store, const struct snap_list *list,
		    const struct snap_dev *dev)
{
	const struct snap_dev *origin = dev->on_origin ? snap_origin_of(list, dev) : NULL;

	store->is_file = store->shared = true;
	store->in_use = snap_store_in_use(list, dev->number) || dev->open_count;
	store->number = dev->number;
	store->bytes = dev->sectors << 9;
	store->below = dev->lower;
	store->origin = origin ? origin->number : 0;
	snprintf(store->name, sizeof(store->name), "%s", dev->name);
	snprintf(store->uuid, sizeof(store->uuid), "%s", dev->uuid);
	return snap_store_look_for_log(store, store->number, 0);
}

/* One that no device has. */
static int check_unused(struct snap_store *store, int fd, const struct stat *st, bool force)
{
	struct snap_map map = { .table = NULL };
	int status;

	if (store->wanted_bytes)
		return fail(BOW_REFUSED, "%s is there already; leave --size away to use it as it is", store->path);
	/* Whoever may read it may read old contents of all users, or undo f2fs' pin. */
	if (st->st_uid || st->st_mode & 077)
		return fail(BOW_REFUSED, "%s may be used by others than root: 'chown root %s; chmod 600 %s' first",
			    store->path, store->path, store->path);
	status = snap_file_map(store->path, fd, &map);
	if (!status)
		status = snap_store_look_for_log(store, store->below, map.first);
	if (status)
		return status;
	store->bytes = map.sectors << 9;
	store->written = map.written && !snap_file_always_written(fd);
	if (map.written && !store->carries_log && !force)
		return fail(BOW_REFUSED, "%s has contents, which are lost if it becomes a store; choose another file, or use this one with --force",
			    store->path);
	return BOW_OK;
}

static int check_existing(struct snap_store *store, const struct snap_list *list, int fd,
			  bool force)
{
	const struct snap_dev *dev;
	struct stat st;
	int status;

	if (fstat(fd, &st))
		return fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	status = snap_file_check_fs(store->path, fd);
	if (!status)
		status = place_store(store, st.st_dev, list);
	if (status)
		return status;
	dev = snap_file_find(list, &st);
	if (dev && store->wanted_bytes)
		return fail(BOW_REFUSED, "%s is a store already; leave --size away to share it, or make it larger by 'blksnap grow'",
			    store->path);
	return dev ? snap_file_share(store, list, dev) : check_unused(store, fd, &st, force);
}

/* The directory of one that is yet to be made. */
static int check_new(struct snap_store *store, const struct snap_list *list)
{
	int fd = open_parent(store->path), status = BOW_OK;
	struct stat st;

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
	int fd = open_parent(path);
	int r = fd < 0 ? -1 : fsync(fd);

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
	struct stat st;
	int fd, status;

	snap_note(store->path);
	fd = open(store->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
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

void snap_file_line(char line[SNAP_FILE_LINE], const struct snap_store *store, u64 start,
		    const struct snap_map *map)
{
	char escaped[4 * PATH_MAX];

	escape(escaped, store->path);
	snprintf(line, SNAP_FILE_LINE, "%llu %llu " SNAP_FILE_TARGET " %u:%u %s 3 extents %u %08x\n",
		 (unsigned long long)start, (unsigned long long)map->sectors,
		 major(store->below), minor(store->below), escaped, map->nr, map->crc);
}

static int create_device(struct snap_store *store, const struct snap_map *map)
{
	char table[SNAP_FILE_LINE];
	struct snap_dev dev;
	int r, status;

	snprintf(store->name, sizeof(store->name), SNAP_FILE_NAME "%.8s",
		 strrchr(store->uuid, '-') + 1);
	snap_file_line(table, store, 0, map);
	r = snap_create(store->name, store->uuid, table, true);
	if (r) {
		bow_dm_print_log();
		return fail(BOW_SYSTEM, "%s: cannot pin it: %s; the kernel log says why ('dmesg | tail')",
			    store->path, r == -ETXTBSY ? "somebody has it open for writing, or swaps to it" : strerror(-r));
	}
	status = snap_dev_read(store->name, &dev);
	store->number = dev.number;
	store->bytes = map->sectors << 9;
	store->first = map->first;
	store->grain = map->grain;
	return status;
}

int snap_file_make(struct snap_store *store, struct snap_map *map)
{
	int fd, status = BOW_OK;

	if (store->create)
		status = create_file(store);
	if (status)
		return status;
	fd = open(store->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	status = snap_file_map(store->path, fd, map);
	close(fd);
	return status;
}

/* Durably; @buf is aligned to pages. */
static int write_store(const struct snap_store *store, const void *buf, size_t len, u64 sector)
{
	char path[USER_TEXT];
	int fd, status = BOW_OK;

	fd = open(device_path(store->number, path), O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, buf, len, (off_t)(sector << 9)) != (ssize_t)len || fsync(fd))
		status = fail(BOW_SYSTEM, "%s: cannot be written to: %s", store->path,
			      strerror(errno));
	if (fd >= 0)
		close(fd);
	return status;
}

/* What lay there before may have been a store, with its log. */
static int wipe_start(const struct snap_store *store)
{
	static const char page[COW_PAGE_SIZE] __attribute__((aligned(COW_PAGE_SIZE)));

	return write_store(store, page, sizeof(page), 0);
}

/* Who finds its first sector offline shall find all of it. */
static int write_extents(const struct snap_store *store, const struct snap_map *map)
{
	struct snap_disk_extents *table = map->table;

	if (map->nr > SNAP_EXTENTS_MAX ||
	    map->first_sectors < SNAP_EXTENTS_SECTOR + (SNAP_EXTENTS_BYTES >> 9))
		return fail(BOW_REFUSED, "%s lies in too many pieces, or begins with too small a one; free space is fragmented: use another filesystem, or a device",
			    store->path);
	memcpy(table->magic, SNAP_EXTENTS_MAGIC, sizeof(table->magic));
	table->version = cpu_to_le32(SNAP_EXTENTS_VERSION);
	table->device_sectors = cpu_to_le64(store->inside_sectors);
	table->store_sectors = cpu_to_le64(map->sectors);
	table->inode = cpu_to_le64(store->file_inode);
	table->count = cpu_to_le32(map->nr);
	table->crc = cpu_to_le32(inside_crc(table, map->nr));
	return write_store(store, table, SNAP_EXTENTS_BYTES, SNAP_EXTENTS_SECTOR);
}

/*
 * Nothing of the file changes any more, since it is pinned: that it is there, and where,
 * must be on the disk before the log that is in it.
 */
static int sync_place(const struct snap_store *store)
{
	int fd = open(store->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), status = BOW_OK;

	if (fd < 0 || syncfs(fd))
		status = fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return status;
}

static int open_file(struct snap_store *store, struct snap_map *map)
{
	int status = snap_file_make(store, map);

	if (!status)
		status = create_device(store, map);
	if (!status && store->created)
		status = wipe_start(store);
	if (!status && store->inside_sectors)
		status = write_extents(store, map);
	if (!status && store->durable)
		status = sync_place(store);
	return status;
}

int snap_file_open(struct snap_store *store)
{
	struct snap_map map = { .table = NULL };
	int status;

	if (!store->is_file || store->shared)
		return BOW_OK;
	if (store->inside_sectors) {
		map.table = aligned_alloc(COW_PAGE_SIZE, SNAP_EXTENTS_BYTES);
		if (!map.table)
			return fail(BOW_SYSTEM, "out of memory");
		memset(map.table, 0, SNAP_EXTENTS_BYTES);
	}
	status = open_file(store, &map);
	free(map.table);
	return status;
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
	int dir = open_parent(path), r;

	if (dir < 0)
		return -errno;
	r = unlink_in(dir, strrchr(path, '/') + 1, dev, inode);
	close(dir);
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

static int remove_part(const struct snap_dev *part)
{
	int r = unlink_file(part->path, part->file_dev, part->file_inode);

	if (r == -ESTALE)
		return fail(BOW_SYSTEM, "%s is not the store's file any more; that has another name by now, and is left over",
			    part->path);
	if (r)
		return fail(BOW_SYSTEM, "%s is left over: cannot remove it: %s", part->path, strerror(-r));
	return BOW_OK;
}

/* The device of a store, and the files but for one that was there before us. */
static int remove_store(const struct snap_dev *dev)
{
	bool own = !strncmp(dev->uuid, SNAP_OWN_FILE_PREFIX, strlen(SNAP_OWN_FILE_PREFIX));
	struct snap_dev *parts;
	unsigned int i, nr;
	int r, status = snap_parts_read(dev->name, &parts, &nr);

	if (status)
		return status;
	r = snap_remove_uuid(dev->uuid);
	if (r)
		status = fail(BOW_SYSTEM, "cannot remove %s: %s", dev->name, strerror(-r));
	for (i = own ? 0 : 1; !r && i < nr; i++) {
		int left = remove_part(&parts[i]);

		status = status ? status : left;
	}
	free(parts);
	return status;
}

static bool is_needed(const struct snap_list *list, const struct snap_dev *file)
{
	if (snap_store_in_use(list, file->number))
		return true;
	/*
	 * Snapshots that are gone may have left it something that older ones need; or it
	 * has one that is to be resumed, or cannot be read, and may have one.
	 */
	return file->open_count || snap_store_has_log(file->number, 0);
}

void snap_file_tell_leftover(const struct snap_list *list)
{
	const struct snap_dev *dev;
	char path[PATH_MAX];
	struct stat st;

	if (!snap_note_read(path) || lstat(path, &st) || !S_ISREG(st.st_mode))
		return;
	dev = snap_file_find(list, &st);
	if (!dev)
		warn_msg("%s is left over from a command that was killed: 'rm %s'", path, path);
	else if (!is_needed(list, dev))
		warn_msg("%s is left over from a command that was killed: 'dmsetup remove %s', then 'rm %s'",
			 path, dev->name, path);
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
		r = remove_store(&list.devs[i]);
		status = status ? status : r;
	}
	snap_list_free(&list);
	return status;
}
