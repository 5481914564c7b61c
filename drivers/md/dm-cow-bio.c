// SPDX-License-Identifier: GPL-2.0-only
/*
 * Log pages, flushes, and the synchronous I/O of moves, commit and the like.
 */
#include "dm-cow-dev.h"

/*
 * Bios of the synchronous path, one at a time. Each device has its own: one may
 * wait for another that lies below it.
 */
int cow_bio_init(struct cow_dev *dev)
{
	return bioset_init(&dev->sync_bios, 1, 0, BIOSET_NEED_BVECS);
}

void cow_bio_exit(struct cow_dev *dev)
{
	bioset_exit(&dev->sync_bios);
}

/* ---- synchronous -------------------------------------------------------- */

static struct page *buf_page(const void *buf)
{
	return is_vmalloc_addr(buf) ? vmalloc_to_page(buf) : virt_to_page(buf);
}

/* As much of the buffer as one bio takes; returns its sectors. */
static u32 fill_bio(struct bio *bio, const u8 *buf, u32 sectors)
{
	size_t left = (size_t)sectors << 9;

	while (left) {
		size_t part = min_t(size_t, left, PAGE_SIZE - offset_in_page(buf));

		if (bio_add_page(bio, buf_page(buf), part, offset_in_page(buf)) < part)
			break;
		buf += part;
		left -= part;
	}
	return bio_sectors(bio);
}

/* With a store there are two devices to one way of counting, see struct cow_io. */
static struct block_device *side_of(const struct cow_dev *dev, u64 *sector)
{
	if (!dev->io.store_sectors)
		return dev->bdev;
	if (*sector < COW_ORIGIN_BASE)
		return dev->dest_bdev;
	*sector -= COW_ORIGIN_BASE;
	return dev->bdev;
}

static int sync_rw(struct cow_io *io, blk_opf_t opf, u64 sector, u8 *buf,
		   u32 sectors)
{
	struct cow_dev *dev = container_of(io, struct cow_dev, io);
	struct block_device *bdev = side_of(dev, &sector);

	while (sectors) {
		unsigned int pages = bio_max_segs(DIV_ROUND_UP(sectors << 9, PAGE_SIZE) + 1);
		struct bio *bio = bio_alloc_bioset(bdev, pages, opf, GFP_NOIO,
						   &dev->sync_bios);
		u32 part;
		int r;

		bio->bi_iter.bi_sector = sector;
		part = fill_bio(bio, buf, sectors);
		r = submit_bio_wait(bio);
		bio_put(bio);
		if (r)
			return r;
		sector += part;
		buf += (size_t)part << 9;
		sectors -= part;
	}
	return 0;
}

static int bio_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	int r = sync_rw(io, REQ_OP_READ | REQ_META, sector, buf, sectors);

	if (is_vmalloc_addr(buf))
		invalidate_kernel_vmap_range(buf, sectors << 9);
	return r;
}

static int bio_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	if (is_vmalloc_addr(buf))
		flush_kernel_vmap_range((void *)buf, sectors << 9);
	return sync_rw(io, REQ_OP_WRITE | REQ_META | REQ_SYNC, sector, (u8 *)buf,
		       sectors);
}

static int bio_flush(struct cow_io *io)
{
	struct cow_dev *dev = container_of(io, struct cow_dev, io);
	int r = 0;

	if (io->store_sectors)
		r = blkdev_issue_flush(dev->dest_bdev);
	return r ? r : blkdev_issue_flush(dev->bdev);
}

static const struct cow_io_ops bio_io_ops = {
	.read = bio_read,
	.write = bio_write,
	.flush = bio_flush,
};

void cow_bio_io_init(struct cow_dev *dev, u64 sectors)
{
	dev->io.ops = &bio_io_ops;
	dev->io.sectors = sectors;
	dev->io.atomic_sectors = bdev_logical_block_size(dev->bdev) >> 9;
}

/* ---- of a group --------------------------------------------------------- */

static void page_end_io(struct bio *bio)
{
	struct cow_dev *dev = bio->bi_private;

	if (bio->bi_status)
		WRITE_ONCE(dev->page_error, blk_status_to_errno(bio->bi_status));
	bio_uninit(bio);
	rcu_read_lock();	/* cow_dev_exit() waits for us */
	/* Orders the error before the count that makes the worker look. */
	smp_mb__before_atomic();
	atomic_inc(&dev->pages_done);
	cow_dev_kick(dev);
	rcu_read_unlock();
}

void cow_bio_page_write(struct cow *cow, unsigned int index,
			const struct cow_page_write *write)
{
	struct cow_dev *dev = cow_to_dev(cow);
	struct bio *bio = index ? &dev->seal_bio : &dev->tail_bio;
	u32 part;

	if (!index)
		cow_linger_closed(dev, cow->inflight->nr_ops);
	bio_init(bio, dev->dest_bdev, &dev->page_vec[index], 1,
		 REQ_OP_WRITE | REQ_META | REQ_SYNC | REQ_IDLE |
		 (write->fua ? REQ_FUA : 0));
	bio->bi_iter.bi_sector = write->sector;
	bio->bi_private = dev;
	bio->bi_end_io = page_end_io;
	part = fill_bio(bio, (const u8 *)write->page, COW_PAGE_SECTORS);
	WARN_ON_ONCE(part != COW_PAGE_SECTORS);
	submit_bio_noacct(bio);
}

static void flush_end_io(struct bio *bio)
{
	struct cow_dev *dev = bio->bi_private;

	WRITE_ONCE(dev->flush_error, blk_status_to_errno(bio->bi_status));
	bio_uninit(bio);
	rcu_read_lock();
	/* As in page_end_io(). */
	smp_mb__before_atomic();
	atomic_inc(&dev->flushes_done);
	cow_dev_kick(dev);
	rcu_read_unlock();
}

void cow_bio_flush(struct cow *cow)
{
	struct cow_dev *dev = cow_to_dev(cow);

	bio_init(&dev->flush_bio, dev->dest_bdev, NULL, 0, REQ_OP_WRITE | REQ_PREFLUSH);
	dev->flush_bio.bi_private = dev;
	dev->flush_bio.bi_end_io = flush_end_io;
	submit_bio_noacct(&dev->flush_bio);
}

/* Hand what has completed to the core. The worker's. */
void cow_bio_collect(struct cow_dev *dev)
{
	int pages = atomic_xchg(&dev->pages_done, 0);

	while (pages--)
		cow_page_written(&dev->cow, xchg(&dev->page_error, 0));
	if (atomic_xchg(&dev->flushes_done, 0))
		cow_flush_done(&dev->cow, READ_ONCE(dev->flush_error));
}
