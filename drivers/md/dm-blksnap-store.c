// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stores: block devices that old contents are written to, from their start
 * upwards. A store is opened once and serves whoever names it.
 */
#include <linux/err.h>
#include <linux/slab.h>

#include "dm-blksnap.h"

/*
 * Where a store is filled from, in sectors: behind all places in which a copy of
 * an origin's superblock would make the store look like that filesystem.
 */
#define STORE_START 256

/* Guards the list, and the users of each store on it. */
static DEFINE_MUTEX(stores_mutex);
static LIST_HEAD(stores);

static struct snap_store *find(dev_t dev)
{
	struct snap_store *store;

	list_for_each_entry(store, &stores, list)
		if (store->opened.bdev->bd_dev == dev)
			return store;
	return NULL;
}

static struct snap_store *open_store(dev_t dev)
{
	struct snap_store *store = kzalloc(sizeof(*store), GFP_KERNEL);
	int r;

	if (!store)
		return ERR_PTR(-ENOMEM);
	r = cow_bdev_open(&store->opened, dev);
	if (r) {
		kfree(store);
		return ERR_PTR(r);
	}
	spin_lock_init(&store->lock);
	store->used = STORE_START;
	list_add(&store->list, &stores);
	return store;
}

struct snap_store *snap_store_get(dev_t dev)
{
	struct snap_store *store;

	mutex_lock(&stores_mutex);
	store = find(dev);
	if (!store)
		store = open_store(dev);
	if (!IS_ERR(store))
		store->users++;
	mutex_unlock(&stores_mutex);
	return store;
}

void snap_store_put(struct snap_store *store)
{
	mutex_lock(&stores_mutex);
	if (!--store->users) {
		list_del(&store->list);
		cow_bdev_close(&store->opened);
		kfree(store);
	}
	mutex_unlock(&stores_mutex);
}

/* The lock is held. The size is looked up each time: a store may grow. */
static u64 blocks_left(const struct snap_store *store, u32 shift, u64 *start)
{
	u64 size = bdev_nr_sectors(store->opened.bdev) >> shift;

	*start = (store->used + (1U << shift) - 1) >> shift;
	return *start < size ? size - *start : 0;
}

u64 snap_store_take(struct snap_store *store, u32 block_sectors, u64 want,
		    u64 *dest)
{
	u32 shift = ilog2(block_sectors);
	unsigned long flags;
	u64 start, nr;

	spin_lock_irqsave(&store->lock, flags);
	nr = min(want, blocks_left(store, shift, &start));
	if (nr)
		store->used = (start + nr) << shift;
	spin_unlock_irqrestore(&store->lock, flags);
	*dest = start;
	return nr;
}

u64 snap_store_left(struct snap_store *store, u32 block_sectors)
{
	unsigned long flags;
	u64 start, left;

	spin_lock_irqsave(&store->lock, flags);
	left = blocks_left(store, ilog2(block_sectors), &start);
	spin_unlock_irqrestore(&store->lock, flags);
	return left;
}

u64 snap_store_used(struct snap_store *store)
{
	unsigned long flags;
	u64 used;

	spin_lock_irqsave(&store->lock, flags);
	used = store->used;
	spin_unlock_irqrestore(&store->lock, flags);
	return used;
}
