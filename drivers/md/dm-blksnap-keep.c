// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracking device of an origin: its I/O, and the writes that wait for it.
 */
#include <linux/sched/mm.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap-origin"

/* All of them, so that none is of two origins. */
static DEFINE_MUTEX(list_mutex);
static LIST_HEAD(keeps);

/* ---- I/O ---------------------------------------------------------------- */

/* A chunk at most; the buffer is physically contiguous or not. */
static int transfer(struct cow_io *io, blk_opf_t opf, u64 sector, u8 *buf, u32 sectors)
{
	struct snap_keep *keep = container_of(io, struct snap_keep, io);
	u32 left = sectors << SECTOR_SHIFT;
	struct bio bio;
	int r;

	bio_init(&bio, keep->opened.bdev, keep->vecs, ARRAY_SIZE(keep->vecs), opf);
	bio.bi_iter.bi_sector = sector;
	while (left) {
		u32 part = min_t(u32, left, PAGE_SIZE - offset_in_page(buf));
		struct page *page = is_vmalloc_addr(buf) ? vmalloc_to_page(buf) :
							   virt_to_page(buf);

		__bio_add_page(&bio, page, part, offset_in_page(buf));
		buf += part;
		left -= part;
	}
	r = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return r;
}

static int keep_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	int r = transfer(io, REQ_OP_READ | REQ_META, sector, buf, sectors);

	if (is_vmalloc_addr(buf))
		invalidate_kernel_vmap_range(buf, sectors << SECTOR_SHIFT);
	return r;
}

static int keep_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	if (is_vmalloc_addr(buf))
		flush_kernel_vmap_range((void *)buf, sectors << SECTOR_SHIFT);
	return transfer(io, REQ_OP_WRITE | REQ_META | REQ_SYNC, sector, (u8 *)buf, sectors);
}

static int keep_flush(struct cow_io *io)
{
	return blkdev_issue_flush(container_of(io, struct snap_keep, io)->opened.bdev);
}

static const struct cow_io_ops keep_io_ops = {
	.read = keep_read,
	.write = keep_write,
	.flush = keep_flush,
};

/* ---- what is told ------------------------------------------------------- */

/* Whoever has found that the device fails: it is said once. */
static void unlock(struct snap_keep *keep)
{
	bool tell = keep->track.lost && !keep->told;

	keep->told = keep->track.lost;
	mutex_unlock(&keep->lock);
	if (!tell)
		return;
	DMERR("%pg: the tracking device fails: changes are not tracked over a reboot",
	      keep->opened.bdev);
	snap_origin_tell(keep->origin);
}

/* ---- writes that wait --------------------------------------------------- */

/* Before marks are wanted the mutex is held, before writes are let go it is not. */
static void record(struct snap_keep *keep, struct list_head *writes,
		   struct list_head *image_writes)
{
	struct snap_image_bio *pb;
	struct cow_waiter *waiter;
	struct bio *bio;

	mutex_lock(&keep->lock);
	list_for_each_entry(waiter, writes, node) {
		bio = dm_bio_from_per_bio_data(waiter, sizeof(*waiter));
		snap_track_want(&keep->track, bio->bi_iter.bi_sector, bio_sectors(bio));
	}
	list_for_each_entry(pb, image_writes, request.node)
		snap_track_want(&keep->track, pb->iter.bi_sector,
				pb->iter.bi_size >> SECTOR_SHIFT);
	snap_track_record(&keep->track);
	unlock(keep);
}

static void keep_work(struct work_struct *work)
{
	struct snap_keep *keep = container_of(work, struct snap_keep, work);
	unsigned int noio = memalloc_noio_save();
	struct snap_image_bio *pb, *next;
	struct cow_waiter *waiter, *tmp;
	LIST_HEAD(image_writes);
	LIST_HEAD(writes);

	spin_lock_irq(&keep->wait_lock);
	list_splice_init(&keep->writes, &writes);
	list_splice_init(&keep->image_writes, &image_writes);
	spin_unlock_irq(&keep->wait_lock);
	record(keep, &writes, &image_writes);
	list_for_each_entry_safe(waiter, tmp, &writes, node)
		snap_origin_marked(keep->origin, waiter);
	list_for_each_entry_safe(pb, next, &image_writes, request.node)
		snap_image_marked(keep->origin, &pb->request);
	memalloc_noio_restore(noio);
}

static void wait(struct snap_keep *keep, struct list_head *node, struct list_head *waiting)
{
	unsigned long flags;

	spin_lock_irqsave(&keep->wait_lock, flags);
	list_add_tail(node, waiting);
	spin_unlock_irqrestore(&keep->wait_lock, flags);
	queue_work(keep->wq, &keep->work);
}

void snap_keep_write(struct snap_keep *keep, struct cow_waiter *waiter)
{
	wait(keep, &waiter->node, &keep->writes);
}

void snap_keep_image_write(struct snap_keep *keep, struct snap_request *request)
{
	wait(keep, &request->node, &keep->image_writes);
}

/* ---- what may sleep ----------------------------------------------------- */

void snap_keep_want(struct snap_keep *keep, u64 sector, u64 nr)
{
	mutex_lock(&keep->lock);
	if (!snap_track_passes(&keep->track, sector, nr))
		snap_track_want(&keep->track, sector, nr);
	mutex_unlock(&keep->lock);
}

void snap_keep_record(struct snap_keep *keep)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&keep->lock);
	snap_track_record(&keep->track);
	unlock(keep);
	memalloc_noio_restore(noio);
}

int snap_keep_save(struct snap_keep *keep)
{
	unsigned int noio = memalloc_noio_save();
	int r;

	mutex_lock(&keep->lock);
	r = keep->track.live ? snap_track_save(&keep->track) : -EIO;
	unlock(keep);
	memalloc_noio_restore(noio);
	return r;
}

void snap_keep_pause(struct snap_keep *keep, bool last)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&keep->lock);
	snap_track_pause(&keep->track, last);
	unlock(keep);
	memalloc_noio_restore(noio);
}

void snap_keep_resume(struct snap_keep *keep)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&keep->lock);
	snap_track_resume(&keep->track);
	unlock(keep);
	memalloc_noio_restore(noio);
}

void snap_keep_close(struct snap_keep *keep)
{
	mutex_lock(&keep->lock);
	snap_track_close(&keep->track);
	mutex_unlock(&keep->lock);
}

/* ---- from the constructor to the end ------------------------------------ */

static bool in_use(dev_t dev)
{
	const struct snap_keep *keep;

	lockdep_assert_held(&list_mutex);
	list_for_each_entry(keep, &keeps, list)
		if (keep->opened.bdev->bd_dev == dev)
			return true;
	return false;
}

bool snap_keep_uses(dev_t dev)
{
	bool uses;

	mutex_lock(&list_mutex);
	uses = in_use(dev);
	mutex_unlock(&list_mutex);
	return uses;
}

static void close_device(struct snap_keep *keep)
{
	mutex_lock(&list_mutex);
	list_del(&keep->list);
	mutex_unlock(&list_mutex);
	cow_bdev_close(&keep->opened);
}

static int open_device(struct snap_keep *keep, dev_t dev)
{
	int r;

	mutex_lock(&list_mutex);
	r = in_use(dev) ? -EBUSY : cow_bdev_open(&keep->opened, dev, NULL);
	if (!r)
		list_add(&keep->list, &keeps);
	mutex_unlock(&list_mutex);
	/* A store that comes now finds us on the list. */
	if (!r && snap_store_uses(dev)) {
		close_device(keep);
		r = -EBUSY;
	}
	return r;
}

static int set_up(struct snap_keep *keep, struct snap_origin *origin)
{
	u64 sectors = origin->dev.cow.geo.sectors;
	struct block_device *bdev = keep->opened.bdev;
	int r;

	keep->io.ops = &keep_io_ops;
	keep->io.sectors = bdev_nr_sectors(bdev);
	if (keep->io.sectors < snap_track_size(&origin->cbt, sectors) ||
	    bdev_logical_block_size(bdev) > SNAP_TRACK_PAGE << SECTOR_SHIFT)
		return -ENOSPC;
	r = snap_track_init(&keep->track, &origin->cbt, sectors, &keep->io);
	if (r)
		return r;
	keep->wq = alloc_ordered_workqueue("dm-blksnap-keep", WQ_MEM_RECLAIM);
	if (keep->wq)
		return 0;
	snap_track_exit(&keep->track);
	return -ENOMEM;
}

struct snap_keep *snap_keep_new(struct snap_origin *origin, dev_t dev)
{
	struct snap_keep *keep = kzalloc(sizeof(*keep), GFP_KERNEL);
	int r;

	if (!keep)
		return ERR_PTR(-ENOMEM);
	mutex_init(&keep->lock);
	spin_lock_init(&keep->wait_lock);
	INIT_LIST_HEAD(&keep->writes);
	INIT_LIST_HEAD(&keep->image_writes);
	INIT_WORK(&keep->work, keep_work);
	keep->origin = origin;
	r = open_device(keep, dev);
	if (!r) {
		r = set_up(keep, origin);
		if (!r)
			return keep;
		close_device(keep);
	}
	kfree(keep);
	return ERR_PTR(r);
}

void snap_keep_free(struct snap_keep *keep)
{
	destroy_workqueue(keep->wq);
	snap_track_exit(&keep->track);
	close_device(keep);
	kfree(keep);
}

const char *snap_keep_state(const struct snap_keep *keep)
{
	return !keep ? "-" : READ_ONCE(keep->track.lost) ? "lost" : "kept";
}

u64 snap_keep_memory(const struct snap_keep *keep)
{
	return keep ? sizeof(*keep) + 2 * keep->track.nr * sizeof(u16) +
		      (SNAP_TRACK_CHUNK * SNAP_TRACK_PAGE << SECTOR_SHIFT) : 0;
}
