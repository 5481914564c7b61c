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

static int refuse_contents(const char *path, blkid_probe probe)
{
	const char *type = NULL;

	if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL))
		blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL);
	return fail(BOW_REFUSED, "%s is not empty, it carries %s; choose another store, or overwrite this one with --force",
		    path, type ? type : "a signature");
}

static int check_contents(const char *path, int fd)
{
	blkid_probe probe = new_probe(fd);
	int r, status = BOW_OK;

	if (!probe)
		return fail(BOW_SYSTEM, "%s: cannot look for signatures", path);
	r = blkid_do_probe(probe);	/* 0: something, 1: nothing */
	if (!r)
		status = refuse_contents(path, probe);
	else if (r < 0)
		status = fail(BOW_SYSTEM, "%s: cannot look for signatures: %s",
			      path, strerror(errno));
	blkid_free_probe(probe);
	return status;
}

void snap_store_wipe(dev_t number)
{
	char text[32], path[USER_TEXT];
	blkid_probe probe;
	int fd;

	snprintf(text, sizeof(text), "%u:%u", major(number), minor(number));
	fd = open(device_node(text, path), O_RDWR | O_EXCL | O_CLOEXEC);
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

static bool is_a_store(dev_t number, const struct snap_list *list)
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
		return force ? BOW_OK : check_contents(store->path, fd);
	if (errno != EBUSY)
		return fail(BOW_SYSTEM, "%s: %s", store->path, strerror(errno));
	if (!device_user(store->number, user))
		strcpy(user, "in use");
	return fail(BOW_REFUSED, "%s is %s; the store must be a device that nobody uses",
		    store->path, user);
}

static int open_store(struct snap_store *store, bool force)
{
	int fd, status;

	fd = open(store->path, O_RDWR | (store->shared ? 0 : O_EXCL) | O_CLOEXEC);
	status = store->shared && fd >= 0 ? BOW_OK : check_free(store, fd, force);
	if (!status && ioctl(fd, BLKGETSIZE64, &store->bytes))
		status = fail(BOW_SYSTEM, "%s: no size to be had: %s",
			      store->path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return status;
}

/* The device of a file that is a store already. */
static bool is_file_device(struct snap_store *store, dev_t number, const struct snap_list *list)
{
	const struct snap_dev *dev = NULL, *origin;
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_FILE && list->devs[i].number == number)
			dev = &list->devs[i];
	if (!dev)
		return false;
	origin = dev->on_origin ? snap_origin_of(list, dev) : NULL;
	store->is_file = store->shared = true;
	store->number = number;
	store->bytes = dev->sectors << 9;
	store->below = dev->lower;
	store->origin = origin ? origin->number : 0;
	return true;
}

int snap_store_check(struct snap_store *store, const char *path,
		     const struct snap_list *list, bool force)
{
	struct stat st = { 0 };

	store->path = path;
	if (stat(path, &st) && (errno != ENOENT || !store->wanted_bytes))
		return fail(BOW_SYSTEM, "%s: %s%s", path, strerror(errno),
			    errno == ENOENT ? "; --size says how large to make a file" : "");
	if (!st.st_mode || S_ISREG(st.st_mode))
		return snap_file_check(store, list, force);
	if (is_file_device(store, st.st_rdev, list))
		return BOW_OK;
	if (!S_ISBLK(st.st_mode))
		return fail(BOW_USAGE, "%s is neither a block device nor a file", path);
	if (store->wanted_bytes)
		return fail(BOW_USAGE, "%s is a block device, --size is for files", path);
	store->number = st.st_rdev;
	store->shared = is_a_store(st.st_rdev, list);
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
