/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The blksnap targets: snapshots of one or many devices at one instant.
 *
 *	origin	dm-blksnap-origin.c	the device that is written to
 *	image	dm-blksnap-image.c	the device as it was
 *	store	dm-blksnap-store.c	where old contents are kept
 *	epoch	dm-blksnap-epoch.c	which block of an image is where (plain C)
 *
 * Locks, outermost first: the core's registry, the stores' registry; an origin's
 * lock; its event_lock; its arrived_lock or a store's lock.
 */
#ifndef DM_BLKSNAP_H
#define DM_BLKSNAP_H

#include <linux/bio.h>
#include <linux/dm-kcopyd.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "dm-blksnap-epoch.h"
#include "dm-cow-compat.h"
#include "dm-cow-dev.h"

/* A block device that old contents are written to, by any number of epochs. */
struct snap_store {
	struct list_head list;		/* the stores' registry; its mutex guards this... */
	unsigned int users;		/* ...and this */
	struct cow_bdev opened;
	spinlock_t lock;		/* guards used */
	u64 used;			/* sectors from the start on; never less */
};

struct snap_origin {
	struct cow_dev dev;
	struct snap snap;		/* the worker's */
	struct dm_kcopyd_client *kcopyd;
	unsigned int targets;		/* of tables; the core's registry guards it... */
	struct list_head images;	/* ...and this */
	bool armed;			/* writes must ask; see snap_origin_map() */

	/* Held by suspend hooks and by arming; guards frozen. */
	struct mutex lock;
	bool frozen;			/* suspended, or never resumed */

	/* Guards epoch targets: an event needs a live table. */
	struct mutex event_lock;

	spinlock_t arrived_lock;	/* guards arrived */
	struct list_head arrived;	/* requests of images */
	bool paused;			/* they stay there; the worker's */
	wait_queue_head_t readers_wait;	/* a reader of the origin may have been the last */
	struct llist_head copied;	/* copies done; any context */
};

/* An epoch and what the image's device needs of it. */
struct snap_image {
	struct snap_epoch epoch;
	struct list_head list;		/* in snap_origin::images */
	struct mapped_device *md;
	struct snap_origin *origin;
	struct dm_target *event_target;	/* the origin's event_lock guards it */
};

/* Per-bio data of an image. */
struct snap_image_bio {
	struct snap_request request;
	struct llist_node copied;
	int error;			/* of the copy */
};

static inline struct snap_origin *dev_to_origin(struct cow_dev *dev)
{
	return container_of(dev, struct snap_origin, dev);
}

static inline struct snap_origin *snap_to_origin(struct snap *snap)
{
	return container_of(snap, struct snap_origin, snap);
}

static inline struct snap_image *epoch_to_image(struct snap_epoch *epoch)
{
	return container_of(epoch, struct snap_image, epoch);
}

/* dm-blksnap-origin.c */
extern struct target_type snap_origin_target_type;
extern const struct cow_dev_ops snap_origin_dev_ops;

/* dm-blksnap-image.c */
extern struct target_type snap_image_target_type;
extern const struct snap_ops snap_image_ops;

/* Requests that have arrived, copies that are done. The worker's. */
void snap_image_work(struct snap_origin *origin);

/* dm-blksnap-store.c */

/* Find or open; may sleep. ERR_PTR() on failure. */
struct snap_store *snap_store_get(dev_t dev);
void snap_store_put(struct snap_store *store);

/* Up to @want blocks in one run, see struct snap_ops. Any context. */
u64 snap_store_take(struct snap_store *store, u32 block_sectors, u64 want,
		    u64 *dest);
u64 snap_store_used(struct snap_store *store);

#endif
