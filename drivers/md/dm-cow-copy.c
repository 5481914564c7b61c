// SPDX-License-Identifier: GPL-2.0-only
/*
 * The copy engine: read the old contents, checksum them, write the same pages
 * to where they are kept. The worker does it all, but for the checksums of long
 * runs, and sends the writes down together.
 *
 * Memory: operations come from a mempool; pages from the allocator without
 * waiting, MAX_PAGES at the most, and when there are none from a reserve that
 * serves one whole run at a time. So one copy can always be made, and nothing
 * half-filled ever waits for the rest.
 */
#include "dm-cow-dev.h"

#define MIN_OPS 16
#define INLINE_VECS 2
#define MAX_PAGES (SZ_16M / PAGE_SIZE)
#define MANY_PAGES 16			/* their checksum is not the worker's work */

struct copy_op {
	struct cow_op op;
	struct bio bio;
	struct work_struct work;
	struct llist_node done;		/* its read, its checksum, its write */
	int error;			/* of the read or the write */
	u32 crc;
	unsigned int nr_pages;
	bool reserve;
	bool summed;
	struct bio_vec *vecs;
	struct bio_vec inline_vecs[INLINE_VECS];
};

static struct kmem_cache *op_cache;

int cow_copy_module_init(void)
{
	op_cache = kmem_cache_create("dm_cow_op", sizeof(struct copy_op), 0, 0, NULL);
	return op_cache ? 0 : -ENOMEM;
}

void cow_copy_module_exit(void)
{
	kmem_cache_destroy(op_cache);
}

/* ---- memory ------------------------------------------------------------- */

static void free_pages_of(struct bio_vec *vecs, unsigned int nr)
{
	while (nr--)
		__free_page(vecs[nr].bv_page);
}

static bool alloc_pages_of(struct bio_vec *vecs, unsigned int nr, gfp_t gfp)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		vecs[i].bv_page = alloc_page(gfp);
		if (!vecs[i].bv_page) {
			free_pages_of(vecs, i);
			return false;
		}
	}
	return true;
}

static bool take_pages(struct copy_op *copy, unsigned int nr)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;

	copy->vecs = copy->inline_vecs;
	if (nr > INLINE_VECS)
		copy->vecs = kmalloc_array(nr, sizeof(*copy->vecs), gfp);
	if (!copy->vecs)
		return false;
	if (alloc_pages_of(copy->vecs, nr, gfp))
		return true;
	if (nr > INLINE_VECS)
		kfree(copy->vecs);
	return false;
}

static bool take_reserve(struct cow_copier *copier, struct copy_op *copy)
{
	if (copier->reserve_used)
		return false;
	copier->reserve_used = true;
	copy->reserve = true;
	copy->vecs = copier->reserve;
	return true;
}

/* What an operation takes beyond the reserve. */
static unsigned long copy_bytes(const struct copy_op *copy)
{
	unsigned long vecs = copy->nr_pages > INLINE_VECS ? copy->nr_pages : 0;

	if (copy->reserve)
		return sizeof(*copy);
	return sizeof(*copy) + copy->nr_pages * PAGE_SIZE + vecs * sizeof(*copy->vecs);
}

static void count(struct cow_copier *copier, const struct copy_op *copy, int sign)
{
	/* Status looks at them from elsewhere. */
	WRITE_ONCE(copier->bytes, copier->bytes + sign * (long)copy_bytes(copy));
	if (copier->bytes > copier->peak)
		WRITE_ONCE(copier->peak, copier->bytes);
}

u64 cow_copier_reserve(const struct cow_dev *dev)
{
	const struct cow_copier *copier = &dev->copier;

	return copier->reserve_pages * (PAGE_SIZE + sizeof(*copier->reserve)) +
	       MIN_OPS * sizeof(struct copy_op);
}

struct cow_op *cow_copy_alloc(struct cow *cow, u32 nr)
{
	struct cow_copier *copier = &cow_to_dev(cow)->copier;
	size_t bytes = (size_t)nr << (cow->geo.block_shift + 9);
	struct copy_op *copy = mempool_alloc(&copier->ops, GFP_NOWAIT | __GFP_NOWARN);

	if (!copy)
		return NULL;
	copy->reserve = false;
	copy->nr_pages = DIV_ROUND_UP(bytes, PAGE_SIZE);
	if ((copier->pages + copy->nr_pages <= MAX_PAGES &&
	     take_pages(copy, copy->nr_pages)) ||
	    take_reserve(copier, copy)) {
		copier->pages += copy->nr_pages;
		count(copier, copy, 1);
		return &copy->op;
	}
	mempool_free(copy, &copier->ops);
	return NULL;
}

void cow_copy_free(struct cow_op *op)
{
	struct copy_op *copy = container_of(op, struct copy_op, op);
	struct cow_copier *copier = &cow_to_dev(op->cow)->copier;

	copier->pages -= copy->nr_pages;
	count(copier, copy, -1);
	if (copy->reserve) {
		copier->reserve_used = false;
	} else {
		free_pages_of(copy->vecs, copy->nr_pages);
		if (copy->nr_pages > INLINE_VECS)
			kfree(copy->vecs);
	}
	mempool_free(copy, &copier->ops);
}

int cow_copier_init(struct cow_dev *dev)
{
	struct cow_copier *copier = &dev->copier;
	unsigned int pages = (COW_MAX_RUN_SECTORS << 9) / PAGE_SIZE;

	copier->wq = alloc_workqueue("dm-cow-copy", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	copier->reserve = kvcalloc(pages, sizeof(*copier->reserve), GFP_KERNEL);
	if (!copier->wq || !copier->reserve ||
	    mempool_init_slab_pool(&copier->ops, MIN_OPS, op_cache))
		return -ENOMEM;
	if (!alloc_pages_of(copier->reserve, pages, GFP_KERNEL))
		return -ENOMEM;
	copier->reserve_pages = pages;
	return 0;
}

void cow_copier_flush(struct cow_dev *dev)
{
	if (dev->copier.wq)
		flush_workqueue(dev->copier.wq);
}

void cow_copier_exit(struct cow_dev *dev)
{
	struct cow_copier *copier = &dev->copier;

	if (copier->wq)
		destroy_workqueue(copier->wq);
	if (copier->reserve)
		free_pages_of(copier->reserve, copier->reserve_pages);
	kvfree(copier->reserve);
	mempool_exit(&copier->ops);
}

/* ---- I/O ---------------------------------------------------------------- */

static void copy_bio(struct copy_op *copy, struct block_device *bdev,
		     blk_opf_t opf, u64 block, bio_end_io_t *end_io)
{
	struct cow *cow = copy->op.cow;
	size_t left = (size_t)copy->op.sectors << 9;
	unsigned int i;

	for (i = 0; left; i++) {
		copy->vecs[i].bv_offset = 0;
		copy->vecs[i].bv_len = min_t(size_t, left, PAGE_SIZE);
		left -= copy->vecs[i].bv_len;
	}
	bio_init(&copy->bio, bdev, copy->vecs, i, opf);
	copy->bio.bi_vcnt = i;
	copy->bio.bi_iter.bi_size = copy->op.sectors << 9;
	copy->bio.bi_iter.bi_sector = cow_block_to_sector(&cow->geo, block);
	copy->bio.bi_private = copy;
	copy->bio.bi_end_io = end_io;
}

static void hand_to_worker(struct copy_op *copy, struct llist_head *list)
{
	struct cow_dev *dev = cow_to_dev(copy->op.cow);

	rcu_read_lock();	/* cow_dev_exit() waits for us */
	llist_add(&copy->done, list);
	cow_dev_kick(dev);
	rcu_read_unlock();
}

static void write_end_io(struct bio *bio)
{
	struct copy_op *copy = bio->bi_private;

	copy->error = blk_status_to_errno(bio->bi_status);
	bio_uninit(bio);
	hand_to_worker(copy, &cow_to_dev(copy->op.cow)->write_done);
}

static void read_end_io(struct bio *bio)
{
	struct copy_op *copy = bio->bi_private;

	copy->error = blk_status_to_errno(bio->bi_status);
	bio_uninit(bio);
	hand_to_worker(copy, &cow_to_dev(copy->op.cow)->read_done);
}

static void checksum(struct copy_op *copy)
{
	unsigned int i;
	u32 crc = ~0U;

	for (i = 0; i < copy->bio.bi_vcnt; i++) {
		void *data = kmap_local_page(copy->vecs[i].bv_page);

		crc = crc32c(crc, data, copy->vecs[i].bv_len);
		kunmap_local(data);
	}
	copy->crc = ~crc;
	copy->summed = true;
}

static void checksum_work(struct work_struct *work)
{
	struct copy_op *copy = container_of(work, struct copy_op, work);

	checksum(copy);
	hand_to_worker(copy, &cow_to_dev(copy->op.cow)->read_done);
}

void cow_copy_start(struct cow_op *op)
{
	struct copy_op *copy = container_of(op, struct copy_op, op);

	copy->summed = op->cow->unlogged;	/* nobody asks for it */
	copy_bio(copy, cow_to_dev(op->cow)->bdev, REQ_OP_READ, op->source, read_end_io);
	submit_bio_noacct(&copy->bio);
}

static void read_done(struct cow_dev *dev, struct copy_op *copy)
{
	if (!copy->error && !copy->summed) {
		if (copy->nr_pages >= MANY_PAGES) {
			INIT_WORK(&copy->work, checksum_work);
			queue_work(dev->copier.wq, &copy->work);
			return;
		}
		checksum(copy);
	}
	cow_op_read_done(&copy->op, copy->crc, copy->error);
	if (copy->error)
		return;
	copy_bio(copy, dev->dest_bdev, REQ_OP_WRITE | REQ_SYNC | REQ_IDLE,
		 copy->op.dest, write_end_io);
	submit_bio_noacct(&copy->bio);
}

/* Hand what has completed to the core, and write what has been read. The worker's. */
void cow_copy_collect(struct cow_dev *dev)
{
	struct copy_op *copy, *tmp;

	llist_for_each_entry_safe(copy, tmp, llist_del_all(&dev->read_done), done)
		read_done(dev, copy);
	llist_for_each_entry_safe(copy, tmp, llist_del_all(&dev->write_done), done)
		cow_op_write_done(&copy->op, copy->error);
}
