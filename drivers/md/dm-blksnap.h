/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The blksnap targets: snapshots of one or many devices at one instant.
 *
 *	origin	dm-blksnap-origin.c	the device that is written to
 *	image	dm-blksnap-image.c	the device as it was
 *	store	dm-blksnap-store.c	where old contents are kept
 *	file	dm-blksnap-file.c	a file as a device for that
 *	pin	dm-blksnap-pin.c	a file that stays where it is
 *	epoch	dm-blksnap-epoch.c	which block of an image is where (plain C)
 *	cbt	dm-blksnap-cbt.c	when a block was written to last (plain C)
 *	map	dm-blksnap-map.c	that, to be read by backup tools
 *
 * Locks, outermost first: the core's registry, the stores' registry; an origin's
 * lock; its event_lock; the list of files, its arrived_lock or a store's lock.
 */
#ifndef DM_BLKSNAP_H
#define DM_BLKSNAP_H

#include <linux/bio.h>
#include <linux/dm-kcopyd.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "dm-blksnap-cbt.h"
#include "dm-blksnap-epoch.h"
#include "dm-blksnap-pin.h"
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
	struct snap_cbt cbt;		/* lock-free; epochs end under the lock below */
	struct dm_kcopyd_client *kcopyd;
	unsigned int targets;		/* of tables; the core's registry guards it... */
	struct list_head images;	/* ...and this */
	bool armed;			/* writes must ask; see snap_origin_map() */

	/* Held by suspend hooks and by arming; guards what follows. */
	struct mutex lock;
	bool frozen;			/* suspended, or never resumed */
	struct dm_target *live;		/* of the table in use, NULL if that is not ours */
	struct list_head files;		/* pinned, on the origin's own filesystem */
	unsigned int file_changes;	/* additions and removals */
	struct snap_touch *touch;	/* or NULL; the worker reads it while it waits */

	/* Guards epoch targets: an event needs a live table. */
	struct mutex event_lock;

	spinlock_t arrived_lock;	/* guards arrived */
	struct list_head arrived;	/* requests of images */
	bool paused;			/* they stay there; the worker's */
	wait_queue_head_t readers_wait;	/* a reader of the origin may have been the last */
	struct llist_head copied;	/* copies done; any context */
};

/* A file that is a store, or part of one. */
struct snap_file {
	struct list_head list;		/* all files; their mutex guards this... */
	unsigned int users;		/* ...and this */
	struct mapped_device *md;	/* whose tables may share it */
	struct snap_pin pin;
	struct block_device *bdev;	/* that its extents are places of */
	struct snap_origin *origin;	/* if its filesystem is on one; then... */
	struct list_head of_origin;	/* ...it is among its files */
	struct cow_bdev below;		/* ...and this is the device */
};

/* Blocks that are copied though nobody writes to them through the origin. */
struct snap_touch {
	struct cow_waiter waiter;
	struct completion done;
};

/* An epoch and what the image's device needs of it. */
struct snap_image {
	struct snap_epoch epoch;
	unsigned int file_changes;	/* of the origin, when files were looked at */
	struct list_head list;		/* in snap_origin::images */
	struct mapped_device *md;
	struct snap_origin *origin;
	u32 number;			/* of the epoch that it ended; 0: not tracked... */
	u32 restarts;			/* ...and of its generation */
	struct dm_target *event_target;	/* the origin's event_lock guards it */
};

/* Per-bio data of an image. */
struct snap_image_bio {
	struct snap_request request;
	struct bvec_iter iter;		/* as the bio came */
	struct llist_node copied;
	u64 blanked;			/* of the copy: sectors, from the start on... */
	int error;			/* ...and how it ended */
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

/*
 * A file pinned on the origin's own filesystem: it will be written to past the
 * origin, so what snapshots have there is kept now. May sleep, long. -ENOSPC if
 * the newest snapshot's store has no room for that, -ENODEV if the origin is not in use.
 */
int snap_origin_add_file(struct snap_origin *origin, struct snap_file *file);
/* Nothing of the files there are is part of a snapshot. 0 or -errno; may sleep. */
int snap_origin_blank_files(struct snap_origin *origin, struct snap_image *image);
void snap_origin_forget_file(struct snap_origin *origin, struct snap_file *file);

/* dm-blksnap-image.c */
extern struct target_type snap_image_target_type;
extern const struct snap_ops snap_image_ops;

/* Requests that have arrived, copies that are done. The worker's. */
void snap_image_work(struct snap_origin *origin);

/* dm-blksnap-map.c */
extern struct target_type snap_map_target_type;

/* dm-blksnap-file.c */
int snap_file_init(void);
void snap_file_exit(void);

/* Is there a file, pinned, on @disk's filesystem that @origin knows nothing of? May sleep. */
bool snap_file_on(const struct gendisk *disk, const struct snap_origin *origin);

/* dm-blksnap-store.c */

/* Find or open; may sleep. ERR_PTR() on failure. */
struct snap_store *snap_store_get(dev_t dev);
void snap_store_put(struct snap_store *store);

/* Up to @want blocks in one run, see struct snap_ops. Any context. */
u64 snap_store_take(struct snap_store *store, u32 block_sectors, u64 want,
		    u64 *dest);
u64 snap_store_used(struct snap_store *store);
/* Blocks that could be taken now. */
u64 snap_store_left(struct snap_store *store, u32 block_sectors);

#endif
