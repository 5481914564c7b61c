// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads and writes of images. All is decided by the origin's worker, so that nothing
 * changes meanwhile.
 */
#include <linux/log2.h>
#include <linux/rcupdate.h>

#include "dm-blksnap.h"

static struct snap_image_bio *bio_to_pb(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct snap_image_bio));
}

static struct bio *request_to_bio(struct snap_request *request)
{
	struct snap_image_bio *pb = container_of(request, struct snap_image_bio, request);

	return dm_bio_from_per_bio_data(pb, sizeof(*pb));
}

/* ---- where a bio goes --------------------------------------------------- */

/* What is backed up from now on is not what the origin had. */
static void mark(struct snap_image *image, const struct bio *bio)
{
	struct snap_cbt *cbt = &image->origin->cbt;

	if (image->number && READ_ONCE(cbt->restarts) == image->restarts)
		snap_cbt_mark_image(cbt, image->number, bio->bi_iter.bi_sector,
				    bio_sectors(bio));
}

void snap_image_marked(struct snap_origin *origin, struct snap_request *request)
{
	unsigned long flags;

	spin_lock_irqsave(&origin->arrived_lock, flags);
	list_add_tail(&request->node, &origin->arrived);
	spin_unlock_irqrestore(&origin->arrived_lock, flags);
	cow_dev_kick(&origin->dev);
}

int snap_image_map(struct snap_image *image, struct bio *bio)
{
	struct snap_origin *origin = image->origin;
	struct snap_request *request = &bio_to_pb(bio)->request;

	request->reader = -1;
	request->blank = false;
	if (!bio_sectors(bio)) {
		/* A flush: private blocks do not outlive a reboot anyway. */
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	request->epoch = &image->epoch;
	bio_to_pb(bio)->iter = bio->bi_iter;
	if (op_is_write(bio_op(bio)))
		mark(image, bio);
	request->block = bio->bi_iter.bi_sector >> ilog2(image->epoch.block_sectors);
	request->is_write = op_is_write(bio_op(bio));
	if (request->is_write &&
	    !snap_keep_passes(origin->keep, bio->bi_iter.bi_sector, bio_sectors(bio)))
		snap_keep_image_write(origin->keep, request);
	else
		snap_image_marked(origin, request);
	return DM_MAPIO_SUBMITTED;
}

/* Bytes of what was read, from @offset on. */
static void zero_bytes(struct bio *bio, struct bvec_iter iter, u32 offset, u32 len)
{
	struct bio_vec bv;

	bio_advance_iter(bio, &iter, offset);
	iter.bi_size = len;
	__bio_for_each_segment(bv, bio, iter, iter)
		memzero_page(bv.bv_page, bv.bv_offset, bv.bv_len);
}

/* What belongs to no snapshot has been read all the same. */
static void blank_bio(const struct snap_epoch *epoch, struct bio *bio)
{
	struct bvec_iter iter = bio_to_pb(bio)->iter;
	u64 sector = iter.bi_sector, end = sector + (iter.bi_size >> SECTOR_SHIFT);
	u64 start, nr;

	while ((nr = snap_epoch_blanks(epoch, sector, end - sector, &start))) {
		zero_bytes(bio, iter, (start - iter.bi_sector) << SECTOR_SHIFT,
			   nr << SECTOR_SHIFT);
		sector = start + nr;
	}
}

void snap_image_end_io(struct snap_image *image, struct bio *bio, blk_status_t *error)
{
	struct snap_origin *origin = image->origin;
	struct snap_request *request = &bio_to_pb(bio)->request;
	enum snap_state state;

	/* Pairs with snap_abandon(): what came later may have been read. */
	state = smp_load_acquire(&image->epoch.state);
	if (!*error && bio_op(bio) == REQ_OP_READ && state != SNAP_ACTIVE)
		*error = BLK_STS_IOERR;
	if (!*error && request->blank)
		blank_bio(&image->epoch, bio);
	if (snap_read_ends(&origin->snap, request)) {
		cow_dev_kick(&origin->dev);
		wake_up(&origin->readers_wait);
	}
}

static struct block_device *place_bdev(struct snap *snap, const struct snap_place *place)
{
	return place->store ? place->store->opened.bdev : snap_to_origin(snap)->dev.bdev;
}

/* Has somebody else got the store? What is there now is not ours. */
static bool is_taken(const struct snap_place *place)
{
	return place->store && READ_ONCE(place->store->taken);
}

static void image_fail(struct snap *snap, struct snap_request *request, int error)
{
	struct bio *bio = request_to_bio(request);

	bio->bi_status = errno_to_blk_status(error);
	bio_endio(bio);
}

static void image_send(struct snap *snap, struct snap_request *request,
		       const struct snap_place *place)
{
	struct bio *bio = request_to_bio(request);
	u32 block_sectors = request->epoch->block_sectors;
	u32 offset = bio->bi_iter.bi_sector & (block_sectors - 1);

	if (is_taken(place)) {
		image_fail(snap, request, -EIO);
		return;
	}
	bio_set_dev(bio, place_bdev(snap, place));
	bio->bi_iter.bi_sector = place->block * block_sectors + offset;
	dm_submit_bio_remap(bio, NULL);
}

/* kcopyd's thread: of a copy, or of a part of it that was blanked. */
static void copy_done(int read_err, unsigned long write_err, void *context)
{
	struct snap_image_bio *pb = context;
	struct snap_origin *origin = epoch_to_image(pb->request.epoch)->origin;

	pb->error = read_err || write_err ? -EIO : 0;
	rcu_read_lock();	/* cow_dev_exit() waits for us */
	llist_add(&pb->copied, &origin->copied);
	cow_dev_kick(&origin->dev);
	rcu_read_unlock();
}

/*
 * What of a copy must be blanked next? False if all is done. The worker's: it may
 * wait for one of kcopyd's jobs to end, which kcopyd's own thread may not.
 */
static bool blank_copy(struct snap_origin *origin, struct snap_image_bio *pb)
{
	struct snap_epoch *epoch = pb->request.epoch;
	u64 first = pb->request.block * epoch->block_sectors, start, nr;
	struct dm_io_region to = { .bdev = epoch->store->opened.bdev };

	nr = snap_epoch_blanks(epoch, first + pb->blanked,
			       epoch->block_sectors - pb->blanked, &start);
	if (!nr)
		return false;
	pb->blanked = start + nr - first;
	to.sector = pb->request.dest * epoch->block_sectors + (start - first);
	to.count = nr;
	dm_kcopyd_zero(origin->kcopyd, 1, &to, 0, copy_done, pb);
	return true;
}

static void image_copy(struct snap *snap, struct snap_request *request,
		       const struct snap_place *place)
{
	struct snap_image_bio *pb = container_of(request, struct snap_image_bio, request);
	struct snap_epoch *epoch = request->epoch;
	u32 sectors = cow_run_sectors(&snap->cow->geo, request->block, 1);
	struct dm_io_region from = {
		.bdev = place_bdev(snap, place),
		.sector = place->block * epoch->block_sectors,
		.count = sectors,
	};
	struct dm_io_region to = {
		.bdev = epoch->store->opened.bdev,
		.sector = request->dest * epoch->block_sectors,
		.count = sectors,
	};

	pb->blanked = 0;
	if (is_taken(place)) {
		copy_done(1, 0, pb);
		return;
	}
	dm_kcopyd_copy(snap_to_origin(snap)->kcopyd, &from, 1, &to, 0, copy_done, pb);
}

static void image_changed(struct snap *snap, struct snap_epoch *epoch)
{
	snap_store_tell_image(epoch_to_image(epoch));
}

static u64 image_take(struct snap *snap, struct snap_store *store, u64 want,
		      u64 *dest)
{
	struct cow *cow = snap->cow;
	bool little_left;
	u64 nr = snap_store_take(store, cow->geo.block_sectors, want, dest, &little_left);

	/* Copies go there; what is private to an image may be in an older store. */
	if (store->opened.bdev == cow_to_dev(cow)->dest_bdev)
		cow->sparing = little_left;
	return nr;
}

static u64 image_left(struct snap *snap, struct snap_store *store)
{
	return snap_store_left(store, snap->cow->geo.block_sectors);
}

const struct snap_ops snap_image_ops = {
	.take = image_take,
	.left = image_left,
	.send = image_send,
	.fail = image_fail,
	.copy = image_copy,
	.changed = image_changed,
};

void snap_image_work(struct snap_origin *origin)
{
	struct llist_node *copied = llist_del_all(&origin->copied);
	struct snap_request *request, *tmp;
	struct snap_image_bio *pb, *next;
	LIST_HEAD(arrived);

	if (!origin->paused) {
		spin_lock_irq(&origin->arrived_lock);
		list_splice_init(&origin->arrived, &arrived);
		spin_unlock_irq(&origin->arrived_lock);
	}
	llist_for_each_entry_safe(pb, next, copied, copied)
		if (pb->error || !blank_copy(origin, pb))
			snap_copied(&origin->snap, &pb->request, pb->error);
	if (copied)
		wake_up(&origin->readers_wait);
	list_for_each_entry_safe(request, tmp, &arrived, node)
		snap_request_arrived(&origin->snap, request);
}
