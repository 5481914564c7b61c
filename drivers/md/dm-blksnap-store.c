// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stores: block devices that old contents are written to, from their start
 * upwards. A store is opened once and serves whoever names it. It may grow at any
 * time: its size is looked up whenever it matters.
 */
#include <linux/err.h>
#include <linux/slab.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap"

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

/* The mutex is held. */
static void free_unused(struct snap_store *store)
{
	if (store->users || store->tables)
		return;
	list_del(&store->list);
	if (store->claim.bdev)
		cow_bdev_close(&store->claim);
	cow_bdev_close(&store->opened);
	kfree(store);
}

static struct snap_store *open_store(dev_t dev)
{
	struct snap_store *store = kzalloc(sizeof(*store), GFP_KERNEL);
	int r;

	if (!store)
		return ERR_PTR(-ENOMEM);
	r = cow_bdev_open(&store->opened, dev, NULL);
	if (r) {
		kfree(store);
		return ERR_PTR(r);
	}
	mutex_init(&store->lock);
	INIT_LIST_HEAD(&store->images);
	store->used = STORE_START;
	list_add(&store->list, &stores);
	/* A tracking device that comes now finds us on the list. */
	if (snap_keep_uses(dev)) {
		free_unused(store);
		return ERR_PTR(-EBUSY);
	}
	return store;
}

bool snap_store_uses(dev_t dev)
{
	bool uses;

	mutex_lock(&stores_mutex);
	uses = find(dev);
	mutex_unlock(&stores_mutex);
	return uses;
}

struct snap_store *snap_store_get(dev_t dev)
{
	struct snap_store *store;

	mutex_lock(&stores_mutex);
	store = find(dev);
	if (!store)
		store = open_store(dev);
	if (!IS_ERR(store))
		store->tables++;
	mutex_unlock(&stores_mutex);
	return store;
}

int snap_store_hold(struct snap_store *store, bool alone)
{
	int r = 0;

	mutex_lock(&stores_mutex);
	if (store->alone || (alone && store->users)) {
		r = -EBUSY;
	} else {
		store->users++;
		store->alone = alone;
	}
	mutex_unlock(&stores_mutex);
	return r;
}

void snap_store_put(struct snap_store *store)
{
	mutex_lock(&stores_mutex);
	store->users--;
	store->alone = false;
	free_unused(store);
	mutex_unlock(&stores_mutex);
}

/*
 * An older image looks into epochs whose own images are gone, and copies still go
 * there. No table says so any more, and the next mkfs would not be refused.
 */
static void claim(struct snap_store *store)
{
	int r = cow_bdev_open(&store->claim, store->opened.bdev->bd_dev, store);

	if (!r)
		return;
	store->claim.bdev = NULL;
	WRITE_ONCE(store->taken, true);
	DMERR("%pg: somebody has claimed a store that snapshots still need: they are lost",
	      store->opened.bdev);
}

bool snap_store_unclaimed(struct snap_store *store)
{
	bool taken;

	mutex_lock(&stores_mutex);
	if (!--store->tables && store->users && !store->claim.bdev)
		claim(store);
	taken = store->users && store->taken;
	free_unused(store);
	mutex_unlock(&stores_mutex);
	return taken;
}

/* ---- what is there ------------------------------------------------------------ */

static int read_start(struct snap_store *store, struct page *page)
{
	struct bio_vec vec;
	struct bio bio;
	int r;

	bio_init(&bio, store->opened.bdev, &vec, 1, REQ_OP_READ);
	__bio_add_page(&bio, page, COW_PAGE_SIZE, 0);
	r = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return r;
}

int snap_store_carries_log(struct snap_store *store)
{
	struct page *page = alloc_page(GFP_KERNEL);
	int r;

	if (!page)
		return -ENOMEM;
	r = bdev_nr_sectors(store->opened.bdev) < COW_PAGE_SECTORS ? -ENOSPC :
	    read_start(store, page);
	if (!r)
		r = !memcmp(page_address(page), COW_LOG_MAGIC, COW_LOG_MAGIC_SIZE);
	__free_page(page);
	return r;
}

/* ---- space: the store's lock is held by these -------------------------------- */

static u64 sectors_left(const struct snap_store *store)
{
	u64 size = bdev_nr_sectors(store->opened.bdev);

	return size > store->used ? size - store->used : 0;
}

static u64 blocks_left(const struct snap_store *store, u32 shift, u64 *start)
{
	u64 size = bdev_nr_sectors(store->opened.bdev) >> shift;

	*start = (store->used + (1U << shift) - 1) >> shift;
	if (READ_ONCE(store->taken))
		return 0;
	return *start < size ? size - *start : 0;
}

/* Once for each time that it falls below the mark: there was @before, there is @left. */
static void look_at_image(struct snap_image *image, u64 before, u64 left)
{
	if (before >= image->low_water)
		image->low = false;
	if (image->low || left >= image->low_water)
		return;
	image->low = true;
	dm_table_event(image->live->table);
}

/* Is little left: a sixteenth, or twice what somebody wants to be told of? */
static bool look_at_images(struct snap_store *store, u64 before)
{
	u64 left = sectors_left(store), little = bdev_nr_sectors(store->opened.bdev) / 16;
	struct snap_image *image;

	list_for_each_entry(image, &store->images, of_store) {
		look_at_image(image, before, left);
		little = max(little, 2 * image->low_water);
	}
	return left < little;
}

/* ---- space: for everybody ---------------------------------------------------- */

u64 snap_store_take(struct snap_store *store, u32 block_sectors, u64 want,
		    u64 *dest, bool *little_left)
{
	u32 shift = ilog2(block_sectors);
	u64 start, nr, before;

	mutex_lock(&store->lock);
	before = sectors_left(store);
	nr = min(want, blocks_left(store, shift, &start));
	if (nr) {
		store->used = (start + nr) << shift;
		*little_left = look_at_images(store, before);
	} else {
		*little_left = true;
	}
	mutex_unlock(&store->lock);
	*dest = start;
	return nr;
}

void snap_store_skip(struct snap_store *store, u64 sectors)
{
	mutex_lock(&store->lock);
	store->used = max(store->used, sectors);
	mutex_unlock(&store->lock);
}

u64 snap_store_left(struct snap_store *store, u32 block_sectors)
{
	u64 start, left;

	mutex_lock(&store->lock);
	left = blocks_left(store, ilog2(block_sectors), &start);
	mutex_unlock(&store->lock);
	return left;
}

u64 snap_store_used(struct snap_store *store)
{
	u64 used;

	mutex_lock(&store->lock);
	used = store->used;
	mutex_unlock(&store->lock);
	return used;
}

/* ---- what an image hears of it -------------------------------------------------- */

void snap_store_add_image(struct snap_image *image, struct dm_target *ti)
{
	struct snap_store *store = image->epoch.store;

	mutex_lock(&store->lock);
	if (!image->live)
		list_add(&image->of_store, &store->images);
	image->live = ti;
	look_at_image(image, 0, sectors_left(store));
	mutex_unlock(&store->lock);
}

void snap_store_forget_image(struct snap_image *image)
{
	struct snap_store *store = image->epoch.store;

	mutex_lock(&store->lock);
	if (image->live)
		list_del(&image->of_store);
	image->live = NULL;
	mutex_unlock(&store->lock);
}

void snap_store_set_low_water(struct snap_image *image, u64 low_water)
{
	struct snap_store *store = image->epoch.store;

	mutex_lock(&store->lock);
	WRITE_ONCE(image->low_water, low_water);
	image->low = false;
	if (image->live)
		look_at_image(image, 0, sectors_left(store));
	mutex_unlock(&store->lock);
}

bool snap_store_is_low(struct snap_image *image)
{
	struct snap_store *store = image->epoch.store;
	bool low;

	mutex_lock(&store->lock);
	low = sectors_left(store) < image->low_water;
	mutex_unlock(&store->lock);
	return low;
}

void snap_store_tell_image(struct snap_image *image)
{
	struct snap_store *store = image->epoch.store;

	mutex_lock(&store->lock);
	if (image->live)
		dm_table_event(image->live->table);
	mutex_unlock(&store->lock);
}
