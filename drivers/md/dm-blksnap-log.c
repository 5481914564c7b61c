// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots that survive a reboot: a log on the store.
 *
 * Such an epoch belongs to its origin: it goes on without an image, and ends when it is
 * forgotten, lost, or when the origin is written to past us. When only the origin's
 * device is removed the log stays, to be resumed.
 */
#include <linux/ktime.h>
#include <linux/uuid.h>

#include "dm-blksnap.h"
#include "dm-cow-picture.h"

#define DM_MSG_PREFIX "blksnap"

/* ---- the worker's --------------------------------------------------------- */

static const char *name_of(const struct snap_origin *origin)
{
	return origin->dev.md ? dm_device_name(origin->dev.md) : "an origin";
}

/* Origin and store as the log counts them. */
static void set_io(struct cow_dev *dev, struct block_device *store)
{
	dev->io.store_sectors = bdev_nr_sectors(store);
	dev->io.sectors = COW_ORIGIN_BASE + dev->cow.geo.sectors;
	dev->io.atomic_sectors = bdev_logical_block_size(store) >> SECTOR_SHIFT;
}

static int begin_log(struct snap_origin *origin, struct snap_image *image)
{
	struct cow *cow = &origin->dev.cow;
	uuid_t uuid;
	int r;

	uuid_gen(&uuid);
	snap_arm(&origin->snap, &image->epoch);
	r = cow_apart_begin(cow, uuid.b, ktime_get_real_seconds());
	/* The origin is suspended: who knows which table it gets. */
	if (!r)
		r = cow_apart_withdraw(cow);
	if (!r)
		return 0;
	snap_disarm(&origin->snap, &image->epoch);
	DMERR("%s: cannot begin a log: %s", dm_device_name(image->md),
	      r == -ENOSPC ? "the store is too small" : "I/O error");
	return r;
}

static int refuse_log(const struct snap_image *image, const struct cow_picture *pic)
{
	const struct cow_complaint *complaint = &pic->complaint;

	DMERR("%s: cannot go on with the log: %s (page at sector %llu, record %d)",
	      dm_device_name(image->md), cow_log_strerror(complaint->error),
	      (unsigned long long)complaint->page_sector, complaint->record);
	switch (complaint->error) {
	case COW_LOG_IO:
		return -EIO;
	case COW_LOG_NO_MEMORY:
		return -ENOMEM;
	case COW_LOG_NO_MAGIC:
		return -ENODATA;
	default:
		return -EUCLEAN;
	}
}

static int adopt(struct snap_origin *origin, struct snap_image *image,
		 struct cow_picture *pic)
{
	const struct cow_head *head = &pic->log.head;
	u64 base = cow_sector_to_block(&pic->geo, COW_ORIGIN_BASE);
	int r = -EINVAL;

	if (head->block_sectors == image->epoch.block_sectors)
		r = snap_epoch_fill(&image->epoch, &pic->moved, base);
	if (r)
		return r;
	/* Private blocks of before may be above: they have no owner any more. */
	snap_store_skip(image->epoch.store, head->store_sectors);
	snap_arm(&origin->snap, &image->epoch);
	r = cow_apart_resume(&origin->dev.cow, pic);
	/* As in begin_log(). */
	if (!r)
		r = cow_apart_withdraw(&origin->dev.cow);
	if (r)
		snap_disarm(&origin->snap, &image->epoch);
	return r;
}

static int try_picture(struct snap_origin *origin, struct snap_image *image,
		       struct cow_picture *pic)
{
	int r;

	if (cow_picture_read(pic, COW_CHECK_TAIL))
		return refuse_log(image, pic);
	r = adopt(origin, image, pic);
	if (r == -EBUSY)
		DMERR("%s: the log is being ended or restored: finish that by 'blksnap restore'",
		      dm_device_name(image->md));
	else if (r == -EROFS)
		DMERR("%s: the log %s", dm_device_name(image->md),
		      cow_log_strerror(COW_LOG_READ_ONLY));
	else if (r == -EINVAL)
		DMERR("%s: the log has a block size of %u", dm_device_name(image->md),
		      pic->log.head.block_sectors << SECTOR_SHIFT);
	else if (r)
		DMERR("%s: cannot go on with the log: %d", dm_device_name(image->md), r);
	return r;
}

static int go_on(struct snap_origin *origin, struct snap_image *image)
{
	struct cow_picture *pic;
	int r;

	if (READ_ONCE(origin->written)) {
		DMERR("%s: the origin has been written to, the log knows nothing of it",
		      dm_device_name(image->md));
		return -EBUSY;
	}
	r = snap_epoch_empty(&image->epoch);
	if (r)
		return r;
	pic = cow_zalloc(sizeof(*pic));
	if (!pic)
		return -ENOMEM;
	r = cow_picture_init(pic, &origin->dev.io);
	if (!r) {
		r = try_picture(origin, image, pic);
		cow_picture_exit(pic);
	}
	cow_free(pic);
	return r;
}

int snap_log_arm(struct snap_origin *origin, struct snap_image *image)
{
	set_io(&origin->dev, image->epoch.store->opened.bdev);
	origin->stale = false;
	return image->resume ? go_on(origin, image) : begin_log(origin, image);
}

int snap_log_withdraw(struct cow_dev *dev, void *arg)
{
	return cow_apart_withdraw(&dev->cow);
}

int snap_log_reinstate(struct cow_dev *dev, void *arg)
{
	return cow_apart_reinstate(&dev->cow);
}

void snap_log_leave(struct snap_origin *origin)
{
	struct cow *cow = &origin->dev.cow;

	/*
	 * It was suspended before: another table may have been in use meanwhile, and
	 * written to, and be gone already.
	 */
	if (cow->withdrawn)
		cow_apart_end(cow, -ENODEV);
	else
		cow_apart_leave(cow, -ENODEV);
}

void snap_log_stale(struct snap_origin *origin)
{
	origin->stale = true;
	DMERR("%s: THE LOG ON ITS STORE IS NOT TRUE ANY MORE and cannot be erased",
	      name_of(origin));
	DMERR("%s: never restore from it, overwrite the first 4 KiB of the store",
	      name_of(origin));
}

/* ---- everybody else's ------------------------------------------------------- */

static int forget(struct cow_dev *dev, void *arg)
{
	return dev->cow.unlogged ? -ENOENT : cow_apart_end(&dev->cow, -ECANCELED);
}

int snap_log_forget(struct snap_origin *origin)
{
	int r;

	mutex_lock(&origin->lock);
	r = cow_dev_call(&origin->dev, forget, NULL, true);
	mutex_unlock(&origin->lock);
	/* One that was lost may be left as well. */
	snap_image_sweep(origin);
	return r;
}

static int lose(struct cow_dev *dev, void *arg)
{
	if (dev->cow.unlogged)
		return 0;
	snap_log_stale(dev_to_origin(dev));
	cow_apart_leave(&dev->cow, -EIO);
	return 0;
}

void snap_log_lost(struct snap_origin *origin)
{
	cow_dev_call(&origin->dev, lose, NULL, true);
	snap_image_sweep(origin);
}

static int look(struct cow_dev *dev, void *arg)
{
	const struct snap_origin *origin = dev_to_origin(dev);
	const struct snap_epoch *epoch;
	const char **word = arg;

	*word = origin->stale ? snap_state_name(SNAP_STALE) : "-";
	list_for_each_entry(epoch, &origin->snap.epochs, node)
		if (epoch->persistent)
			*word = snap_state_name(epoch->state);
	return 0;
}

const char *snap_log_state(struct snap_origin *origin)
{
	const char *word;

	cow_dev_call(&origin->dev, look, &word, false);
	return word;
}
