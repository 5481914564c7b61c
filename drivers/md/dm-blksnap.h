/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The blksnap targets: snapshots of one or many devices at one instant.
 *
 *	origin	dm-blksnap-origin.c	the device that is written to
 *	image	dm-blksnap-image.c	the device as it was
 *	arm	dm-blksnap-arm.c	snapshots begin and end
 *	io	dm-blksnap-io.c		reads and writes of images
 *	store	dm-blksnap-store.c	where old contents are kept
 *	file	dm-blksnap-file.c	a file as a device for that
 *	pin	dm-blksnap-pin.c	a file that stays where it is
 *	inside	dm-blksnap-inside.c	such files on the origin's own filesystem
 *	epoch	dm-blksnap-epoch.c	which block of an image is where (plain C)
 *	spare	dm-blksnap-spare.c	memory for that, when there is little
 *	log	dm-blksnap-log.c	snapshots that survive a reboot
 *	cbt	dm-blksnap-cbt.c	when a block was written to last (plain C)
 *	track	dm-blksnap-track.c	that, over a reboot (plain C)
 *	keep	dm-blksnap-keep.c	the device for it, and writes that wait for that
 *	map	dm-blksnap-map.c	that, to be read by backup tools
 *
 * Locks, outermost first: the core's registry, the stores' registry; an origin's
 * lock; the list of files, its arrived_lock, its spare's lock, a store's lock or a keep's,
 * and then its wait_lock.
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
#include "dm-blksnap-track.h"
#include "dm-cow-compat.h"
#include "dm-cow-dev.h"

/* A block device that old contents are written to, by any number of epochs. */
struct snap_store {
	struct list_head list;		/* the stores' registry; its mutex guards this... */
	unsigned int users;		/* ...and this: epochs... */
	unsigned int tables;		/* ...and this: tables, which claim the device... */
	struct cow_bdev claim;		/* ...and this: our own, once there are none */
	bool taken;			/* somebody else has claimed it: never to be used */
	bool alone;			/* its only user has a log there; the mutex's, too */
	struct cow_bdev opened;

	/* Guards what follows. Whoever holds it waits for nothing. */
	struct mutex lock;
	u64 used;			/* sectors from the start on; never less */
	struct list_head images;	/* whose tables are live: an event needs that */
};

/* What makes an origin's tracking outlive a reboot. */
struct snap_keep {
	struct list_head list;		/* all of them; their mutex guards this */
	struct snap_origin *origin;
	struct cow_bdev opened;
	struct cow_io io;
	struct bio_vec vecs[SNAP_TRACK_CHUNK + 1];

	struct mutex lock;		/* held over I/O; guards what precedes, and this: */
	struct snap_track track;
	bool told;			/* that it is lost */

	struct workqueue_struct *wq;
	struct work_struct work;
	spinlock_t wait_lock;		/* guards what follows */
	struct list_head writes;	/* struct cow_waiter, which do not wait in dev yet */
	struct list_head image_writes;	/* struct snap_request, likewise */
};

/* Memory for the index that is got while copies wait for it. */
struct snap_spare {
	struct delayed_work work;
	spinlock_t lock;		/* guards the next two */
	struct cow_range_pool got;	/* for the worker to fetch */
	bool ended;
	bool waiting;			/* a copy, since the last turn; the worker's... */
	unsigned long since;		/* ...and this: when none was, or one began, jiffies */
};

struct snap_origin {
	struct cow_dev dev;
	struct snap snap;		/* the worker's */
	struct snap_spare spare;
	struct snap_cbt cbt;		/* lock-free; epochs end under the lock below */
	struct snap_keep *keep;		/* NULL: all is forgotten with a reboot */
	struct dm_kcopyd_client *kcopyd;
	unsigned int targets;		/* of tables; the core's registry guards it... */
	struct list_head images;	/* ...and this */
	bool armed;			/* writes must ask; see map_write() */

	/* Held by suspend hooks and by arming; guards what follows. */
	struct mutex lock;
	bool frozen;			/* suspended, or never resumed */
	struct dm_target *live;		/* of the table in use, NULL if that is not ours */
	struct list_head files;		/* pinned, on the origin's own filesystem */
	unsigned int file_changes;	/* additions and removals */
	struct snap_touch *touch;	/* or NULL; the worker reads it while it waits */

	bool written;			/* past any snapshot, since there is this origin */
	struct mutex event_lock;	/* guards who is told; held for nothing else */
	struct dm_target *told;		/* as live */
	bool stale;			/* a log that is not true may be left; the worker's */

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
	struct mapped_device *md;	/* whose tables may share it... */
	const struct gendisk *disk;	/* ...and that one's; to be compared, no more */
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
	bool resume;			/* there is a log to go on with */
	struct list_head list;		/* in snap_origin::images */
	struct mapped_device *md;
	struct snap_origin *origin;
	u32 number;			/* of the epoch that it ended; 0: not tracked... */
	u32 restarts;			/* ...and of its generation */

	/* The lock of its store guards these. */
	struct list_head of_store;	/* in snap_store::images, once resumed */
	struct dm_target *live;		/* of the table in use, NULL before that and at the end */
	u64 low_water;			/* sectors; 0: no event */
	bool low;			/* the event has been raised */
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

/* The origin above @bdev, or NULL. The core's registry is locked. */
struct snap_origin *snap_origin_find(struct block_device *bdev);

/* What waited for its mark may go on. The keep's worker. */
void snap_origin_marked(struct snap_origin *origin, struct cow_waiter *waiter);

/* These sectors count as changed, once recorded. The origin's lock is held: no take. */
void snap_origin_mark(struct snap_origin *origin, u64 sector, u64 nr);
void snap_origin_record_marks(struct snap_origin *origin);

/* An event on the origin's device, if it has one still. May sleep. */
void snap_origin_tell(struct snap_origin *origin);

/* dm-blksnap-inside.c */

/*
 * A file pinned on the origin's own filesystem: it will be written to past the
 * origin, so what snapshots have there is kept now. May sleep, long. -ENOSPC if
 * the newest snapshot's store has no room for that, -ENODEV if the origin is not in use.
 */
int snap_inside_add(struct snap_origin *origin, struct snap_file *file);
/*
 * Nothing of the files there are is part of a snapshot. A persistent one can have none but
 * its own store's: -EBUSY, or -EINVAL if its blocks would reach into that. May sleep.
 */
int snap_inside_blank(struct snap_origin *origin, struct snap_image *image);
void snap_inside_forget(struct snap_origin *origin, struct snap_file *file);
/* They may have ceased to be stores unseen. The origin's lock is held. */
void snap_inside_mark(struct snap_origin *origin);

/* The core lets @waiter go: was it not a write, but one of ours? */
bool snap_inside_touched(struct cow_dev *dev, struct cow_waiter *waiter);

/* dm-blksnap-image.c */
extern struct target_type snap_image_target_type;

/* The word for it in a status. */
const char *snap_state_name(enum snap_state state);

/* dm-blksnap-arm.c */

/* The worker's: 0, or -EBUSY if snapshots of the kinds there are exclude this image. */
int snap_image_check_company(struct cow_dev *dev, void *arg);
const char *snap_image_bad_company(const struct snap_image *image);

/* The first resume: from now on the origin's contents are kept. May sleep. */
int snap_image_arm(struct snap_image *image);
/* It is freed, now or with an older one. The origin's lock is not held. */
void snap_image_remove(struct snap_image *image);
/* Epochs without images that nobody needs any more. The origin's lock is not held. */
void snap_image_sweep(struct snap_origin *origin);

/* dm-blksnap-io.c */
extern const struct snap_ops snap_image_ops;

int snap_image_map(struct snap_image *image, struct bio *bio);
void snap_image_end_io(struct snap_image *image, struct bio *bio, blk_status_t *error);

/* Requests that have arrived, copies that are done. The worker's. */
void snap_image_work(struct snap_origin *origin);
/* As snap_origin_marked(). */
void snap_image_marked(struct snap_origin *origin, struct snap_request *request);

/* dm-blksnap-spare.c */
void snap_spare_init(struct snap_origin *origin);
/* No copy waits any more, and none will. May sleep. */
void snap_spare_exit(struct snap_origin *origin);
/* Is there memory for one copy more? Else the worker is called again. The worker's. */
bool snap_spare_promise(struct snap_origin *origin);
/* Before it looks at writes: take what has come free; or no copy waits any longer. */
void snap_spare_turn(struct snap_origin *origin);

/* dm-blksnap-log.c; what is of the worker is for cow_dev_call(), exclusive. */

/* Arm an epoch that is persistent: begin a log, or go on with one. The worker's. */
int snap_log_arm(struct snap_origin *origin, struct snap_image *image);
/* Who writes to the origin next? Nobody knows, or we do. The worker's. */
int snap_log_withdraw(struct cow_dev *dev, void *arg);
int snap_log_reinstate(struct cow_dev *dev, void *arg);
/* The origin goes, and nobody has written to it past us. The worker's. */
void snap_log_leave(struct snap_origin *origin);
/* Durably end it, now. 0, -ENOENT, or an error: it may still be there. May sleep. */
int snap_log_forget(struct snap_origin *origin);
/* The store is somebody else's: nothing is to be written there. May sleep. */
void snap_log_lost(struct snap_origin *origin);
/* In a status: of the origin's persistent snapshot, "-" if it has none. May sleep. */
const char *snap_log_state(struct snap_origin *origin);
void snap_log_stale(struct snap_origin *origin);

/* dm-blksnap-keep.c */

/*
 * The device for what is tracked; nothing on it is touched before a resume. ERR_PTR():
 * -EBUSY, another origin has it, or it is a store; -ENOSPC, it is too small.
 */
struct snap_keep *snap_keep_new(struct snap_origin *origin, dev_t dev);
/* No write waits any more. */
void snap_keep_free(struct snap_keep *keep);

/* Noted in the cbt already: must the write wait until that is durable? Any context. */
static inline bool snap_keep_passes(const struct snap_keep *keep, u64 sector, u64 nr)
{
	return !keep || snap_track_passes(&keep->track, sector, nr);
}

/* It does, then snap_origin_marked() or snap_image_marked(). Any context. */
void snap_keep_write(struct snap_keep *keep, struct cow_waiter *waiter);
void snap_keep_image_write(struct snap_keep *keep, struct snap_request *request);

/* The same at once. These may sleep; see dm-blksnap-track.h. */
void snap_keep_want(struct snap_keep *keep, u64 sector, u64 nr);
void snap_keep_record(struct snap_keep *keep);
int snap_keep_save(struct snap_keep *keep);
void snap_keep_pause(struct snap_keep *keep, bool last);
void snap_keep_resume(struct snap_keep *keep);
void snap_keep_close(struct snap_keep *keep);

/* Is that the tracking device of an origin? May sleep. */
bool snap_keep_uses(dev_t dev);

/* For the status; NULL will do. */
const char *snap_keep_state(const struct snap_keep *keep);
u64 snap_keep_memory(const struct snap_keep *keep);

/* dm-blksnap-map.c */
extern struct target_type snap_map_target_type;

/* dm-blksnap-file.c */
int snap_file_init(void);
void snap_file_exit(void);

/* Files whose devices are gone have been let go. May sleep, not with a lock held. */
void snap_file_settle(void);

/* Is there a file, pinned, on @disk's filesystem that @origin knows nothing of? May sleep. */
bool snap_file_on(const struct gendisk *disk, const struct snap_origin *origin);

/* dm-blksnap-store.c */

/*
 * Find or open, for a table that has claimed it; may sleep. ERR_PTR() on failure: -EBUSY,
 * it is a tracking device.
 */
struct snap_store *snap_store_get(dev_t dev);
bool snap_store_uses(dev_t dev);
/*
 * Such a table has let go of its claim: epochs that are left need one. True if somebody
 * else has been quicker. May sleep.
 */
bool snap_store_unclaimed(struct snap_store *store);

/* For an epoch, or @alone: for one that has a log there. 0 or -EBUSY. May sleep. */
int snap_store_hold(struct snap_store *store, bool alone);
void snap_store_put(struct snap_store *store);

/* 1 if there is a log, 0 if not, or -errno. May sleep. */
int snap_store_carries_log(struct snap_store *store);

/* What is below is in use. */
void snap_store_skip(struct snap_store *store, u64 sectors);

/*
 * Up to @want blocks in one run, see struct snap_ops, and whether little is left. May
 * sleep.
 */
u64 snap_store_take(struct snap_store *store, u32 block_sectors, u64 want,
		    u64 *dest, bool *little_left);
u64 snap_store_used(struct snap_store *store);
/* Blocks that could be taken now. */
u64 snap_store_left(struct snap_store *store, u32 block_sectors);

/*
 * What an image hears of its store: @ti is of its table in use, until the image is
 * forgotten. Whenever less than low_water sectors come to be left there is an event.
 */
void snap_store_add_image(struct snap_image *image, struct dm_target *ti);
void snap_store_forget_image(struct snap_image *image);
void snap_store_set_low_water(struct snap_image *image, u64 low_water);
bool snap_store_is_low(struct snap_image *image);
/* Something else has happened to the image. */
void snap_store_tell_image(struct snap_image *image);

#endif
