// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store: a block device of its own, whose contents nobody needs; or a file, see
 * snap-file.c.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm-cow-env.h"
#include "snap.h"

/* ---- signatures ---------------------------------------------------------------------- */

static blkid_probe new_probe(int fd)
{
	blkid_probe probe = blkid_new_probe();

	if (!probe)
		return NULL;
	if (blkid_probe_set_device(probe, fd, 0, 0)) {
		blkid_free_probe(probe);
		return NULL;
	}
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC);
	blkid_probe_enable_partitions(probe, 1);
	blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC);
	return probe;
}

static int refuse_contents(const char *path, blkid_probe probe, const char *remedy)
{
	const char *type = NULL;

	if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL))
		blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL);
	return fail(BOW_REFUSED, "%s is not empty, it carries %s; %s", path,
		    type ? type : "a signature", remedy);
}

int snap_check_contents(const char *path, int fd, const char *remedy)
{
	blkid_probe probe = new_probe(fd);
	int r, status = BOW_OK;

	if (!probe)
		return fail(BOW_SYSTEM, "%s: cannot look for signatures", path);
	r = blkid_do_probe(probe);	/* 0: something, 1: nothing */
	if (!r)
		status = refuse_contents(path, probe, remedy);
	else if (r < 0)
		status = fail(BOW_SYSTEM, "%s: cannot look for signatures: %s",
			      path, strerror(errno));
	blkid_free_probe(probe);
	return status;
}

void snap_store_wipe(dev_t number)
{
	char path[USER_TEXT];
	blkid_probe probe;
	int fd;

	fd = open(device_path(number, path), O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY) {
		warn_msg("%s is in use still, by what an older snapshot needs: it is free when that is removed",
			 path);
		return;
	}
	probe = fd < 0 ? NULL : new_probe(fd);
	if (!probe)
		warn_msg("%s may look like a copy of an origin: 'wipefs -a %s' before anything is mounted by its label or UUID",
			 path, path);
	while (probe && !blkid_do_probe(probe))
		if (blkid_do_wipe(probe, 0))
			break;
	if (probe)
		blkid_free_probe(probe);
	if (fd >= 0)
		close(fd);
}

/* ---- may it be used? ------------------------------------------------------------------ */

bool snap_store_in_use(const struct snap_list *list, dev_t number)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_IMAGE &&
		    list->devs[i].store == number)
			return true;
	return false;
}

static int check_free(struct snap_store *store, int fd, bool force)
{
	char user[USER_TEXT];

	if (fd >= 0)
		return force ? BOW_OK :
			snap_check_contents(store->path, fd, "choose another store, or overwrite this one with --force");
	if (errno != EBUSY)
		return fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	if (!device_user(store->number, user))
		strcpy(user, "in use");
	return fail(BOW_REFUSED, "%s is %s; the store must be a device that nobody uses",
		    store->path, user);
}

static int read_page(struct snap_store *store, int fd, u64 sector)
{
	struct cow_disk_page *page = aligned_alloc(sizeof(*page), sizeof(*page));
	ssize_t n = page ? pread(fd, page, sizeof(*page), (off_t)(sector << 9)) : -1;
	int err = errno;

	if (n == (ssize_t)sizeof(*page)) {
		store->carries_log = !memcmp(page->header.magic, COW_LOG_MAGIC,
					     COW_LOG_MAGIC_SIZE);
		store->log_block_bytes = (u64)le32_to_cpu(page->header.block_sectors) << 9;
	}
	free(page);
	return n == (ssize_t)sizeof(*page) ? 0 : n < 0 ? -err : -EIO;
}

/* Past the page cache, as the kernel has written it. */
static int look_for_log(struct snap_store *store, dev_t number, u64 sector)
{
	char path[USER_TEXT];
	int fd, r;

	fd = open(device_path(number, path), O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = read_page(store, fd, sector);
	close(fd);
	return r;
}

int snap_store_look_for_log(struct snap_store *store, dev_t number, u64 sector)
{
	int r = look_for_log(store, number, sector);

	return r ? fail(BOW_SYSTEM, "%s: cannot be read: %s", store->path, strerror(-r)) :
		   BOW_OK;
}

int snap_store_has_log(dev_t number, u64 sector)
{
	struct snap_store store = { .number = number };
	int r = look_for_log(&store, number, sector);

	return r ? r : store.carries_log;
}

static int open_store(struct snap_store *store, bool force)
{
	int fd, status;

	fd = open(store->path, O_RDWR | (store->shared ? 0 : O_EXCL) | O_CLOEXEC);
	status = store->shared && fd >= 0 ? BOW_OK : check_free(store, fd, force);
	if (!status && ioctl(fd, BLKGETSIZE64, &store->bytes))
		status = fail(BOW_SYSTEM, "%s: no size to be had: %s",
			      store->path, strerror(errno));
	if (!status)
		status = snap_store_look_for_log(store, store->number, 0);
	if (fd >= 0)
		close(fd);
	return status;
}

int snap_store_check(struct snap_store *store, const char *path,
		     const struct snap_list *list, bool force)
{
	const struct snap_dev *file;
	struct stat st = { 0 };

	store->path = path;
	if (stat(path, &st) && (errno != ENOENT || !store->wanted_bytes))
		return fail(BOW_SYSTEM, "%s: %s%s", path, strerror(errno),
			    errno == ENOENT ? "; --size says how large to make a file" : "");
	if (!st.st_mode || S_ISREG(st.st_mode))
		return snap_file_check(store, list, force);
	file = snap_file_of(list, st.st_rdev);
	if (file && !store->wanted_bytes)
		return snap_file_share(store, list, file);
	if (!S_ISBLK(st.st_mode))
		return fail(BOW_USAGE, "%s is neither a block device nor a file", path);
	if (store->wanted_bytes)
		return fail(BOW_USAGE, "%s is a block device, --size is for files", path);
	store->number = st.st_rdev;
	store->shared = store->in_use = snap_store_in_use(list, st.st_rdev);
	return open_store(store, force);
}

/* What an origin keeps in the store must not come from the origin again. */
int snap_store_check_origin(const struct snap_store *store, const struct snap_dev *origin)
{
	dev_t dev = store->is_file ? store->below : store->number;

	/* Its own filesystem: written to below the origin, which knows those blocks. */
	if (store->is_file && store->origin == origin->number)
		return BOW_OK;
	if (snap_above(dev, origin->number) || snap_above(dev, origin->lower))
		return fail(BOW_REFUSED, "%s lies on %s, of which the snapshot is to be; the store must lie on something else%s",
			    store->path, origin->name,
			    store->is_file ? "" : ", or be a file on the origin's own filesystem");
	return BOW_OK;
}

/* Rolled back, that origin would bring back an older log, or one that has ended. */
int snap_store_check_kept(const struct snap_store *store, const struct snap_list *list)
{
	dev_t dev = store->is_file ? store->below : store->number;
	unsigned int i;

	for (i = 0; i < list->nr; i++) {
		const struct snap_dev *origin = &list->devs[i];

		if (origin->kind != SNAP_ORIGIN || strcmp(origin->persistent, "active") ||
		    (store->origin != origin->number && !snap_above(dev, origin->number)))
			continue;
		return fail(BOW_REFUSED, "%s lies on %s, which has a persistent snapshot: if that is rolled back to, so is the log in the store, which is not true then; 'blksnap remove --all %s' first",
			    store->path, origin->name, origin->name);
	}
	return BOW_OK;
}

/* The other way round: may @origin be rolled back, as far as logs are concerned? */
int snap_store_check_above(const struct snap_dev *origin, const struct snap_list *list)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++) {
		const struct snap_dev *image = &list->devs[i];

		if (image->kind != SNAP_IMAGE || strcmp(image->mode, "persistent") ||
		    !snap_above(image->store, origin->number))
			continue;
		return fail(BOW_REFUSED, "the store of %s lies on %s: if that is rolled back, so is the log in the store, which is not true then; remove that snapshot first",
			    image->name, origin->name);
	}
	return BOW_OK;
}
