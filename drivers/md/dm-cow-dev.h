/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The core in the kernel: a worker for each device, the I/O below it, and the
 * list of the devices that have one.
 */
#ifndef DM_COW_DEV_H
#define DM_COW_DEV_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/llist.h>
#include <linux/mempool.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dm-cow.h"
#include "dm-cow-linger.h"

/* What modinfo says of all our modules; the same as in the file META. */
#define DM_COW_VERSION "0.1"

struct cow_dev;

/* What a target wants done with a write once the core lets it go. */
struct cow_dev_ops {
	void (*release)(struct cow_dev *dev, struct cow_waiter *waiter, int error);
	void (*hide_hold)(struct cow_dev *dev, u32 index);
	void (*hide_release)(struct cow_dev *dev, u32 index);
	void (*give_up)(struct cow_dev *dev);
	void (*event)(struct cow_dev *dev, enum cow_event event);	/* or NULL */
	/* With a store apart only, see struct cow_env_ops. */
	u64 (*take)(struct cow_dev *dev, u64 want, u64 *dest);
	int (*keep)(struct cow_dev *dev, const struct cow_op *op);
	void (*abandon)(struct cow_dev *dev, int error);
	/*
	 * Before each copy, and when it is no more; or NULL. False: not now, and the worker
	 * is called when that may have changed.
	 */
	bool (*copy_begins)(struct cow_dev *dev);
	void (*copy_ends)(struct cow_dev *dev);
	/* What else the worker is to do, before it looks at writes; or NULL. */
	void (*work)(struct cow_dev *dev);
	void (*destroy)(struct cow_dev *dev);
};

/* Buffers of a copy: a bounded number of pages in flight, one run in reserve. */
struct cow_copier {
	mempool_t ops;
	struct page **stack;		/* those of one whole run, but for what is in use */
	unsigned int stack_pages;
	unsigned int stacked;		/* all that follow are the worker's */
	struct bio_vec *vecs;		/* for one run */
	bool vecs_used;
	unsigned int pages;		/* in flight... */
	unsigned long extra;		/* ...of which so many beyond the stack's */
	unsigned long bytes;		/* taken beyond pages */
	unsigned long peak;		/* most bytes beyond the reserve ever */
	struct workqueue_struct *wq;	/* checksums, and what else may run beside the worker */
};

struct cow_dev {
	struct list_head list;		/* registry; its mutex guards this... */
	unsigned int users;		/* ...and this */
	struct mapped_device *md;	/* whose tables may share it; NULL: anybody's */
	struct block_device *bdev;
	struct block_device *dest_bdev;	/* where copies go; the worker's */
	const struct cow_dev_ops *ops;

	struct cow cow;			/* the worker's, see dm-cow.h */
	struct cow_io io;
	struct cow_copier copier;
	struct cow_linger linger;
	struct bio_set sync_bios;
	struct bio tail_bio;
	struct bio seal_bio;
	struct bio_vec page_vec[2];
	struct bio flush_bio;

	/* The worker: near whoever wakes it, or, if it has much to do, anywhere. */
	struct workqueue_struct *near_wq;
	struct workqueue_struct *wide_wq;
	struct work_struct work;
	atomic_t kicks;			/* not answered yet by the worker */
	unsigned int width;		/* most pages in flight since there were none */
	bool wide;			/* what that says of next time */

	spinlock_t lock;		/* guards arrived and calls */
	struct list_head arrived;	/* writes for the gate */
	struct list_head calls;

	/* Completions, from any context; lock-free. */
	struct llist_head read_done;
	struct llist_head sum_done;
	struct llist_head write_done;
	atomic_t pages_done;
	atomic_t flushes_done;
	int page_error;			/* set before pages_done rises */
	int flush_error;
};

/* Make a device ready for work; @dev is zeroed. As cow_init(). May sleep. */
int cow_dev_init(struct cow_dev *dev, struct block_device *bdev, u64 sectors,
		 u32 block_sectors, const struct cow_dev_ops *ops);
void cow_dev_exit(struct cow_dev *dev);

/* Copies and the log go to @bdev; the worker's, or before it has any work. */
void cow_dev_set_dest(struct cow_dev *dev, struct block_device *bdev);

/* A write that must wait: any context. */
void cow_dev_write(struct cow_dev *dev, struct cow_waiter *waiter);

/*
 * Run @fn in the worker and wait for it; with @exclusive when nothing is in
 * flight and the gate is shut. May sleep; not from the worker.
 */
int cow_dev_call(struct cow_dev *dev, int (*fn)(struct cow_dev *dev, void *arg),
		 void *arg, bool exclusive);

/* Wait until nothing is in flight. May sleep; not from the worker. */
void cow_dev_drain(struct cow_dev *dev);

/* Memory in use, about: all that grows with the device or with what it does. */
u64 cow_dev_memory(const struct cow_dev *dev);
/* And the most that copies in flight have ever added to what is in use now. */
u64 cow_dev_memory_peak(const struct cow_dev *dev);

/*
 * The registry of devices, by their lower device. Between lock and unlock look
 * one up, then take a user's share in it or add one. May sleep.
 */
void cow_registry_lock(void);
void cow_registry_unlock(void);
struct cow_dev *cow_registry_find(struct block_device *bdev);
/* The one whose tables are those of the dm device @disk. */
struct cow_dev *cow_registry_find_disk(const struct gendisk *disk);
void cow_registry_add(struct cow_dev *dev);
/* Takes the lock itself; the last user's share destroys the device. */
void cow_registry_put(struct cow_dev *dev);

/*
 * For constructors: does the target span all of @bdev, and is that of a kind that
 * the core can do with? May it share what another table of its device has (@dev,
 * the registry is locked)? 0, or an error with ti->error set.
 */
int cow_dev_check(struct dm_target *ti, struct block_device *bdev);
int cow_dev_may_share(struct dm_target *ti, const struct cow_dev *dev,
		      const struct cow_dev_ops *ops);

/* Every block that @bio, which has sectors, touches, if only in part. */
static inline void cow_bio_touches(const struct cow_geometry *geo,
				   const struct bio *bio, u64 *first, u64 *nr)
{
	*first = cow_sector_to_block(geo, bio->bi_iter.bi_sector);
	*nr = cow_sector_to_block(geo, bio_end_sector(bio) - 1) - *first + 1;
}

/* dm-cow-copy.c */
int cow_copier_init(struct cow_dev *dev);
/* Until no work of the copier runs; nothing may be in flight. */
void cow_copier_flush(struct cow_dev *dev);
void cow_copier_exit(struct cow_dev *dev);
/* What is there even when nothing is copied, and what is in use beyond that. */
u64 cow_copier_reserve(const struct cow_dev *dev);
unsigned long cow_copier_bytes(const struct cow_dev *dev);
struct cow_op *cow_copy_alloc(struct cow *cow, u32 nr);
void cow_copy_free(struct cow_op *op);
void cow_copy_start(struct cow_op *op);
void cow_copy_collect(struct cow_dev *dev);
int cow_copy_module_init(void);
void cow_copy_module_exit(void);

/* dm-cow-bio.c */
void cow_bio_io_init(struct cow_dev *dev, u64 sectors);
void cow_bio_page_write(struct cow *cow, unsigned int index,
			const struct cow_page_write *write);
void cow_bio_flush(struct cow *cow);
void cow_bio_collect(struct cow_dev *dev);
int cow_bio_init(struct cow_dev *dev);
void cow_bio_exit(struct cow_dev *dev);

/*
 * Only by who has found kicks to be 0, or is the worker: so it never runs twice, in
 * whichever queue it is.
 */
static inline void cow_dev_queue(struct cow_dev *dev)
{
	queue_work(READ_ONCE(dev->wide) ? dev->wide_wq : dev->near_wq, &dev->work);
}

/*
 * Make the worker look, after what it is to see is there. Any context. It is woken
 * only if it is not at work: most I/O ends while it is.
 */
static inline void cow_dev_kick(struct cow_dev *dev)
{
	/* A full barrier, pairs with the acquire in cow_dev_work(). */
	if (atomic_inc_return(&dev->kicks) == 1)
		cow_dev_queue(dev);
}

static inline struct cow_dev *cow_to_dev(struct cow *cow)
{
	return container_of(cow, struct cow_dev, cow);
}

#endif
