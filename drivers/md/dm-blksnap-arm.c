// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots begin and end: images among the epochs of their origin.
 */
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap"

/* ---- arming ------------------------------------------------------------- */

/* The worker's. */
int snap_image_check_company(struct cow_dev *dev, void *arg)
{
	const struct snap_image *image = arg;

	return snap_may_arm(&dev_to_origin(dev)->snap, &image->epoch) ? 0 : -EBUSY;
}

const char *snap_image_bad_company(const struct snap_image *image)
{
	return image->epoch.persistent ?
	       "A persistent snapshot must be the origin's only one: remove the others" :
	       "The origin has a persistent snapshot, which must be its only one";
}

static int arm(struct cow_dev *dev, void *arg)
{
	struct snap_origin *origin = dev_to_origin(dev);
	struct snap_image *image = arg;
	int r = 0;

	if (snap_block_size_differs(&origin->snap, image->epoch.block_sectors)) {
		DMERR("%s: block size is not that of the other snapshots",
		      dm_device_name(image->md));
		return -EINVAL;
	}
	if (snap_image_check_company(dev, image)) {
		DMERR("%s: %s", dm_device_name(image->md), snap_image_bad_company(image));
		return -EBUSY;
	}
	cow_dev_set_dest(dev, image->epoch.store->opened.bdev);
	if (image->epoch.persistent)
		r = snap_log_arm(origin, image);
	else
		snap_arm(&origin->snap, &image->epoch);
	if (r)
		return r;
	/* What was resumed ended an epoch that nobody has the number of. */
	image->number = image->resume ? 0 : snap_cbt_next(&origin->cbt);
	image->restarts = origin->cbt.restarts;
	/* Pairs with map_write(). */
	smp_store_release(&origin->armed, true);
	return 0;
}

/* The origin's lock is held. */
static int arm_once(struct snap_image *image)
{
	struct snap_origin *origin = image->origin;
	int r;

	if (READ_ONCE(image->epoch.state) != SNAP_NEW)
		return 0;
	if (!origin->frozen || !origin->live) {
		DMERR("%s: suspend the origin first", dm_device_name(image->md));
		return -EBUSY;
	}
	if (image->file_changes != origin->file_changes) {
		DMERR("%s: a file became a store of its origin, or ceased to be one: begin again",
		      dm_device_name(image->md));
		return -EAGAIN;
	}
	r = cow_dev_call(&origin->dev, arm, image, true);
	if (!r)	/* The map of before: nobody looks at it, the origin is suspended. */
		cow_map_exit(&image->epoch.map);
	return r;
}

int snap_image_arm(struct snap_image *image)
{
	struct snap_origin *origin = image->origin;
	unsigned int noio = memalloc_noio_save();
	int r;

	mutex_lock(&origin->lock);
	r = arm_once(image);
	mutex_unlock(&origin->lock);
	memalloc_noio_restore(noio);
	return r;
}

/* ---- removing ----------------------------------------------------------- */

struct removal {
	struct snap_image *image;
	struct list_head dead;
	bool last;
};

static int remove_image(struct cow_dev *dev, void *arg)
{
	struct snap_origin *origin = dev_to_origin(dev);
	struct removal *removal = arg;

	if (removal->image)
		snap_remove(&origin->snap, &removal->image->epoch, &removal->dead);
	else
		snap_sweep(&origin->snap, &removal->dead);
	removal->last = list_empty(&origin->snap.epochs) && !list_empty(&removal->dead);
	if (removal->last)
		WRITE_ONCE(origin->armed, false);
	return 0;
}

/* Without snapshots no map is needed. The origin's lock is held: nothing arms. */
static void drop_map(struct snap_origin *origin)
{
	struct cow_map map = origin->dev.cow.map;

	/* Whoever saw origin->armed has looked at the map. */
	synchronize_rcu();
	memset(&origin->dev.cow.map, 0, sizeof(map));
	cow_map_exit(&map);
}

static void image_free(struct snap_image *image)
{
	snap_epoch_exit(&image->epoch);
	snap_store_put(image->epoch.store);
	kfree(image);
}

/* Of an image, or of nobody. */
static void remove_and_free(struct snap_origin *origin, struct snap_image *image)
{
	struct removal removal = { .image = image };
	struct snap_epoch *epoch, *tmp;

	INIT_LIST_HEAD(&removal.dead);
	mutex_lock(&origin->lock);
	cow_dev_call(&origin->dev, remove_image, &removal, true);
	if (removal.last)
		drop_map(origin);
	mutex_unlock(&origin->lock);
	/* If not among these, it is freed with an older one; not ours any more. */
	list_for_each_entry_safe(epoch, tmp, &removal.dead, node)
		image_free(epoch_to_image(epoch));
}

void snap_image_sweep(struct snap_origin *origin)
{
	remove_and_free(origin, NULL);
}

void snap_image_remove(struct snap_image *image)
{
	remove_and_free(image->origin, image);
}
