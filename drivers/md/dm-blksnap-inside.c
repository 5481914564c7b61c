// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stores in files on the origin's own filesystem: what images do not show, and what is
 * written to past the origin.
 */
#include <linux/sched/mm.h>

#include "dm-blksnap.h"

/* ---- blocks that are copied though nobody writes to them ----------------- */

bool snap_inside_touched(struct cow_dev *dev, struct cow_waiter *waiter)
{
	struct snap_touch *touch = READ_ONCE(dev_to_origin(dev)->touch);

	if (!touch || waiter != &touch->waiter)
		return false;
	complete(&touch->done);
	return true;
}

/* Copy what a write to these sectors would; the lock is held. */
static void touch(struct snap_origin *origin, u64 sector, u64 nr)
{
	struct cow_dev *dev = &origin->dev;
	struct snap_touch touch;

	init_completion(&touch.done);
	touch.waiter.first = cow_sector_to_block(&dev->cow.geo, sector);
	touch.waiter.last = cow_sector_to_block(&dev->cow.geo, sector + nr - 1);
	WRITE_ONCE(origin->touch, &touch);
	cow_dev_write(dev, &touch.waiter);
	wait_for_completion(&touch.done);
	WRITE_ONCE(origin->touch, NULL);
}

/* ---- what of them counts as changed ------------------------------------- */

static void mark_pin(struct snap_origin *origin, const struct snap_pin *pin)
{
	unsigned int i;

	for (i = 0; i < pin->nr; i++)
		snap_origin_mark(origin, pin->extents[i].place, snap_extent_sectors(pin, i));
}

/* What images show there changes without a write, when they begin to be blank or end. */
static void mark_file(struct snap_origin *origin, const struct snap_pin *pin)
{
	mark_pin(origin, pin);
	snap_origin_record_marks(origin);
}

/*
 * That a file ceases to be a store is not seen if the machine goes down first: after a
 * reboot it counts as changed since each snapshot that was taken meanwhile.
 */
void snap_inside_mark(struct snap_origin *origin)
{
	const struct snap_file *file;

	if (!origin->keep)
		return;
	list_for_each_entry(file, &origin->files, of_origin)
		mark_pin(origin, &file->pin);
	snap_origin_record_marks(origin);
}

/* ---- adding and removing ------------------------------------------------ */

static bool in_store(const struct snap_file *file, const struct snap_epoch *epoch)
{
	return file->disk == epoch->store->opened.bdev->bd_disk;
}

/*
 * What is in the file's place now would be in the log, and a rollback would write that
 * into the store.
 */
static bool grows_into_log(const struct snap *snap, const struct snap_file *file)
{
	const struct snap_epoch *epoch;

	list_for_each_entry(epoch, &snap->epochs, node)
		if (epoch->persistent && in_store(file, epoch))
			return true;
	return false;
}

/* The worker's: is there room for all that is to be kept? */
static int check_room(struct cow_dev *dev, void *arg)
{
	struct snap_origin *origin = dev_to_origin(dev);
	const struct snap_file *file = arg;
	const struct snap_pin *pin = &file->pin;
	u64 needed = 0;
	unsigned int i;

	if (grows_into_log(&origin->snap, file))
		return -EBUSY;
	for (i = 0; i < pin->nr; i++)
		needed += snap_count_needed(&origin->snap, pin->extents[i].place,
					    snap_extent_sectors(pin, i));
	return needed > snap_left(&origin->snap) ? -ENOSPC : 0;
}

int snap_inside_add(struct snap_origin *origin, struct snap_file *file)
{
	const struct snap_pin *pin = &file->pin;
	unsigned int i;
	int r = 0;

	mutex_lock(&origin->lock);
	if (!origin->live)
		r = -ENODEV;
	else if (origin->frozen && READ_ONCE(origin->dev.cow.withdrawn))
		r = -EBUSY;	/* nothing may be copied now */
	else if (READ_ONCE(origin->armed))
		r = cow_dev_call(&origin->dev, check_room, file, false);
	for (i = 0; !r && i < pin->nr && READ_ONCE(origin->armed); i++)
		touch(origin, pin->extents[i].place, snap_extent_sectors(pin, i));
	if (!r) {
		list_add(&file->of_origin, &origin->files);
		origin->file_changes++;
		mark_file(origin, pin);
	}
	mutex_unlock(&origin->lock);
	return r;
}

void snap_inside_forget(struct snap_origin *origin, struct snap_file *file)
{
	mutex_lock(&origin->lock);
	list_del(&file->of_origin);
	origin->file_changes++;
	mark_file(origin, &file->pin);
	mutex_unlock(&origin->lock);
}

/* ---- what images do not show -------------------------------------------- */

/*
 * A log is of whole blocks, so none may have a part of the store in it: what the store
 * has there changes, and a rollback would write to what it reads from.
 */
static int check_own_file(const struct snap_image *image, const struct snap_file *file)
{
	const struct snap_pin *pin = &file->pin;
	u64 all = 0;
	unsigned int i;

	/* After a reboot nobody knows which blocks it had. */
	if (image->resume || !in_store(file, &image->epoch))
		return -EBUSY;
	for (i = 0; i < pin->nr; i++)
		all |= pin->extents[i].place | snap_extent_sectors(pin, i);
	return all & (image->epoch.block_sectors - 1) ? -EINVAL : 0;
}

static int blank_file(struct snap_image *image, const struct snap_file *file)
{
	const struct snap_pin *pin = &file->pin;
	unsigned int i;
	int r = image->epoch.persistent ? check_own_file(image, file) : 0;

	for (i = 0; !r && i < pin->nr; i++)
		r = snap_epoch_blank(&image->epoch, pin->extents[i].place,
				     snap_extent_sectors(pin, i));
	return r;
}

int snap_inside_blank(struct snap_origin *origin, struct snap_image *image)
{
	const struct snap_file *file;
	unsigned int noio;
	int r = 0;

	mutex_lock(&origin->lock);
	/* Memory must not wait for the origin, whose suspend may wait for us. */
	noio = memalloc_noio_save();
	image->file_changes = origin->file_changes;
	list_for_each_entry(file, &origin->files, of_origin) {
		r = blank_file(image, file);
		if (r)
			break;
	}
	memalloc_noio_restore(noio);
	mutex_unlock(&origin->lock);
	return r;
}
