// SPDX-License-Identifier: GPL-2.0-only
/*
 * The copy engine: read the old contents, write the same pages to where they are
 * kept, and meanwhile take their checksum. The worker does it all, but for the
 * checksums of much data at once, and sends the writes down together.
 *
 * Memory: operations come from a mempool; pages from a stack with those of one whole
 * run, then from the allocator without waiting, MAX_PAGES at the most. What is given
 * back fills the stack first: it is full when nothing is in flight. So one copy can
 * always be made, and nothing half-filled ever waits for the rest.
 */
#include "dm-cow-dev.h"

#define MIN_OPS 16
#define INLINE_VECS 2
#define MAX_PAGES (SZ_16M / PAGE_SIZE)
#define OWN_PAGES 16			/* whose checksums are the worker's, at a time */

struct copy_op {
	struct cow_op op;
	struct bio bio;
	struct work_struct work;
	struct llist_node done;		/* its read, then its write */
	int error;			/* of either */
	struct llist_node summed;	/* its checksum, if others took that */
	u32 crc;
	unsigned int nr_pages;
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

static struct page *take_page(struct cow_copier *copier)
{
	struct page *page;

	if (copier->stacked)
		return copier->stack[--copier->stacked];
	page = alloc_page(GFP_NOWAIT | __GFP_NOWARN);
	if (page)
		WRITE_ONCE(copier->extra, copier->extra + 1);
	return page;
}

static void give_page(struct cow_copier *copier, struct page *page)
{
	if (copier->stacked < copier->stack_pages) {
		copier->stack[copier->stacked++] = page;
		return;
	}
	__free_page(page);
	WRITE_ONCE(copier->extra, copier->extra - 1);
}

static void give_pages(struct cow_copier *copier, struct copy_op *copy, unsigned int nr)
{
	while (nr--)
		give_page(copier, copy->vecs[nr].bv_page);
}

static bool take_pages(struct cow_copier *copier, struct copy_op *copy)
{
	unsigned int i;

	if (copier->pages + copy->nr_pages > MAX_PAGES)
		return false;
	for (i = 0; i < copy->nr_pages; i++) {
		copy->vecs[i].bv_page = take_page(copier);
		if (!copy->vecs[i].bv_page) {
			give_pages(copier, copy, i);
			return false;
		}
	}
	copier->pages += copy->nr_pages;
	return true;
}

static bool take_vecs(struct cow_copier *copier, struct copy_op *copy)
{
	copy->vecs = copy->inline_vecs;
	if (copy->nr_pages <= INLINE_VECS)
		return true;
	copy->vecs = kmalloc_array(copy->nr_pages, sizeof(*copy->vecs),
				   GFP_NOWAIT | __GFP_NOWARN);
	if (!copy->vecs && !copier->vecs_used) {
		copier->vecs_used = true;
		copy->vecs = copier->vecs;
	}
	return copy->vecs;
}

static void give_vecs(struct cow_copier *copier, struct copy_op *copy)
{
	if (copy->vecs == copier->vecs)
		copier->vecs_used = false;
	else if (copy->vecs != copy->inline_vecs)
		kfree(copy->vecs);
}

/* What an operation takes beyond its pages. */
static unsigned long copy_bytes(const struct copy_op *copy)
{
	unsigned long vecs = copy->nr_pages > INLINE_VECS ? copy->nr_pages : 0;

	return sizeof(*copy) + vecs * sizeof(*copy->vecs);
}

unsigned long cow_copier_bytes(const struct cow_dev *dev)
{
	const struct cow_copier *copier = &dev->copier;

	return READ_ONCE(copier->bytes) + READ_ONCE(copier->extra) * PAGE_SIZE;
}

/* Status looks at the figures from elsewhere. */
static void count(struct cow_dev *dev, const struct copy_op *copy, int sign)
{
	struct cow_copier *copier = &dev->copier;
	unsigned long bytes;

	WRITE_ONCE(copier->bytes, copier->bytes + sign * (long)copy_bytes(copy));
	bytes = cow_copier_bytes(dev);
	if (bytes > copier->peak)
		WRITE_ONCE(copier->peak, bytes);
}

u64 cow_copier_reserve(const struct cow_dev *dev)
{
	const struct cow_copier *copier = &dev->copier;

	return copier->stack_pages *
	       (PAGE_SIZE + sizeof(*copier->stack) + sizeof(*copier->vecs)) +
	       MIN_OPS * sizeof(struct copy_op);
}

struct cow_op *cow_copy_alloc(struct cow *cow, u32 nr)
{
	struct cow_dev *dev = cow_to_dev(cow);
	struct cow_copier *copier = &dev->copier;
	size_t bytes = (size_t)nr << (cow->geo.block_shift + 9);
	struct copy_op *copy = mempool_alloc(&copier->ops, GFP_NOWAIT | __GFP_NOWARN);

	if (!copy)
		return NULL;
	copy->nr_pages = DIV_ROUND_UP(bytes, PAGE_SIZE);
	if (take_vecs(copier, copy)) {
		if (take_pages(copier, copy)) {
			count(dev, copy, 1);
			return &copy->op;
		}
		give_vecs(copier, copy);
	}
	mempool_free(copy, &copier->ops);
	return NULL;
}

void cow_copy_free(struct cow_op *op)
{
	struct copy_op *copy = container_of(op, struct copy_op, op);
	struct cow_dev *dev = cow_to_dev(op->cow);
	struct cow_copier *copier = &dev->copier;

	give_pages(copier, copy, copy->nr_pages);
	copier->pages -= copy->nr_pages;
	count(dev, copy, -1);
	give_vecs(copier, copy);
	mempool_free(copy, &copier->ops);
}

int cow_copier_init(struct cow_dev *dev)
{
	struct cow_copier *copier = &dev->copier;
	unsigned int pages = (COW_MAX_RUN_SECTORS << 9) / PAGE_SIZE;

	copier->wq = alloc_workqueue("dm-cow-copy", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	copier->stack = kvcalloc(pages, sizeof(*copier->stack), GFP_KERNEL);
	copier->vecs = kvcalloc(pages, sizeof(*copier->vecs), GFP_KERNEL);
	if (!copier->wq || !copier->stack || !copier->vecs ||
	    mempool_init_slab_pool(&copier->ops, MIN_OPS, op_cache))
		return -ENOMEM;
	for (; copier->stack_pages < pages; copier->stack_pages++) {
		struct page *page = alloc_page(GFP_KERNEL);

		if (!page)
			return -ENOMEM;
		copier->stack[copier->stacked++] = page;
	}
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
	while (copier->stacked)
		__free_page(copier->stack[--copier->stacked]);
	kvfree(copier->stack);
	kvfree(copier->vecs);
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

static void hand_to_worker(struct copy_op *copy, struct llist_node *node,
			   struct llist_head *list)
{
	struct cow_dev *dev = cow_to_dev(copy->op.cow);

	rcu_read_lock();	/* cow_dev_exit() waits for us */
	llist_add(node, list);
	cow_dev_kick(dev);
	rcu_read_unlock();
}

static void write_end_io(struct bio *bio)
{
	struct copy_op *copy = bio->bi_private;

	copy->error = blk_status_to_errno(bio->bi_status);
	bio_uninit(bio);
	hand_to_worker(copy, &copy->done, &cow_to_dev(copy->op.cow)->write_done);
}

static void read_end_io(struct bio *bio)
{
	struct copy_op *copy = bio->bi_private;

	copy->error = blk_status_to_errno(bio->bi_status);
	bio_uninit(bio);
	hand_to_worker(copy, &copy->done, &cow_to_dev(copy->op.cow)->read_done);
}

/* The bio is on its way, and not to be looked at: of the pages. */
static u32 checksum(const struct copy_op *copy)
{
	size_t left = (size_t)copy->op.sectors << 9;
	const struct bio_vec *vec;
	u32 crc = ~0U;

	for (vec = copy->vecs; left; vec++) {
		size_t len = min_t(size_t, left, PAGE_SIZE);
		void *data = kmap_local_page(vec->bv_page);

		crc = crc32c(crc, data, len);
		kunmap_local(data);
		left -= len;
	}
	return ~crc;
}

static void checksum_work(struct work_struct *work)
{
	struct copy_op *copy = container_of(work, struct copy_op, work);

	copy->crc = checksum(copy);
	hand_to_worker(copy, &copy->summed, &cow_to_dev(copy->op.cow)->sum_done);
}

void cow_copy_start(struct cow_op *op)
{
	struct copy_op *copy = container_of(op, struct copy_op, op);

	copy_bio(copy, cow_to_dev(op->cow)->bdev, REQ_OP_READ, op->source, read_end_io);
	submit_bio_noacct(&copy->bio);
}

/* More data than the worker itself should look at goes to others. */
static void take_checksum(struct cow_dev *dev, struct copy_op *copy, unsigned int *pages)
{
	if (dev->cow.unlogged) {	/* nobody asks for it */
		cow_op_read_done(&copy->op, 0, 0);
		return;
	}
	*pages += copy->nr_pages;
	if (*pages <= OWN_PAGES) {
		cow_op_read_done(&copy->op, checksum(copy), 0);
		return;
	}
	INIT_WORK(&copy->work, checksum_work);
	queue_work(dev->copier.wq, &copy->work);
}

static void read_done(struct cow_dev *dev, struct copy_op *copy, unsigned int *pages)
{
	if (copy->error) {
		cow_op_read_done(&copy->op, 0, copy->error);
		return;
	}
	cow_op_has_data(&copy->op);
	copy_bio(copy, dev->dest_bdev,
		 REQ_OP_WRITE | REQ_SYNC | REQ_IDLE | (copy->op.fua ? REQ_FUA : 0),
		 copy->op.dest, write_end_io);
	submit_bio_noacct(&copy->bio);
	take_checksum(dev, copy, pages);
}

/* Hand what has completed to the core, and write what has been read. The worker's. */
void cow_copy_collect(struct cow_dev *dev)
{
	struct copy_op *copy, *tmp;
	unsigned int pages = 0;

	llist_for_each_entry_safe(copy, tmp, llist_del_all(&dev->sum_done), summed)
		cow_op_read_done(&copy->op, copy->crc, 0);
	llist_for_each_entry_safe(copy, tmp, llist_del_all(&dev->read_done), done)
		read_done(dev, copy, &pages);
	llist_for_each_entry_safe(copy, tmp, llist_del_all(&dev->write_done), done)
		cow_op_write_done(&copy->op, copy->error);
}
