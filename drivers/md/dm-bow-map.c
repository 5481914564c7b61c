// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a bio goes. The fast path takes no lock: two loads and a few bit tests.
 */
#include "dm-bow.h"

/* The core's way of saying that a write is to be requeued, see bow_release(). */
#define REQUEUE (-EAGAIN)

static struct bow *ti_to_bow(struct dm_target *ti)
{
	return ((struct bow_target *)ti->private)->bow;
}

static struct bow_bio *bio_to_pb(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct bow_bio));
}

static struct bio *waiter_to_bio(struct cow_waiter *waiter)
{
	struct bow_bio *pb = container_of(waiter, struct bow_bio, waiter);

	return dm_bio_from_per_bio_data(pb, sizeof(*pb));
}

static int pass(struct bow *bow, struct bio *bio)
{
	bio_set_dev(bio, bow->dev.bdev);
	return DM_MAPIO_REMAPPED;
}

/* Every block that a discard covers wholly; a short last block never is ours. */
static void covered(const struct bow *bow, const struct bio *bio, u64 *first,
		    u64 *nr)
{
	const struct cow_geometry *geo = &bow->dev.cow.geo;
	u64 start = bio->bi_iter.bi_sector + geo->block_sectors - 1;
	u64 end = cow_sector_to_block(geo, bio_end_sector(bio));

	*first = cow_sector_to_block(geo, start);
	*nr = end > *first ? end - *first : 0;
}

static int complete_bio(struct bio *bio)
{
	bio_endio(bio);
	return DM_MAPIO_SUBMITTED;
}

/* ---- trim and committed ------------------------------------------------- */

static void set_free(struct bow *bow, struct bio *bio)
{
	u64 first, nr;

	covered(bow, bio, &first, &nr);
	if (nr)
		cow_map_set(&bow->dev.cow.map, first, nr, COW_FREE);
}

static int map_trim(struct bow *bow, struct bio *bio)
{
	u64 first, nr;

	if (bio_op(bio) == REQ_OP_DISCARD) {
		set_free(bow, bio);
		return complete_bio(bio);
	}
	if (op_is_write(bio_op(bio))) {
		/* Out of the free set before the write is on its way. */
		cow_bio_touches(&bow->dev.cow.geo, bio, &first, &nr);
		cow_map_replace(&bow->dev.cow.map, first, nr, COW_FREE,
				COW_PROTECTED);
	}
	return pass(bow, bio);
}

static int pass_discard(struct bow *bow, struct bio *bio)
{
	if (!bdev_max_discard_sectors(bow->dev.bdev))
		return complete_bio(bio);
	return pass(bow, bio);
}

/* Keep the map right for a next checkpoint, see bow_settle(). */
static int map_committed(struct bow *bow, struct bio *bio)
{
	struct cow_map *map = &bow->dev.cow.map;
	u64 first, nr;

	if (bio_op(bio) == REQ_OP_DISCARD) {
		set_free(bow, bio);
		return pass_discard(bow, bio);
	}
	if (op_is_write(bio_op(bio))) {
		cow_bio_touches(&bow->dev.cow.geo, bio, &first, &nr);
		if (!cow_map_passes(map, first, nr)) {
			cow_map_replace(map, first, nr, COW_FREE, COW_LOOSE);
			cow_map_replace(map, first, nr, COW_PROTECTED, COW_LOOSE);
		}
	}
	return pass(bow, bio);
}

/* ---- hidden blocks ------------------------------------------------------ */

/* The hidden block at @sector, or -1; *@end is where that answer changes. */
static int find_hidden(const struct bow *bow, u64 sector, u64 *end)
{
	u32 block_sectors = bow->dev.cow.geo.block_sectors;
	u32 i;

	*end = ~0ULL;
	for (i = 0; i < bow->nr_hidden; i++) {
		u64 source = bow->hidden[i].source;

		if (sector < source) {
			*end = source;
			return -1;
		}
		if (sector < source + block_sectors) {
			*end = source + block_sectors;
			return i;
		}
	}
	return -1;
}

static void redirect(struct bow *bow, struct bio *bio, struct bow_hidden *hidden)
{
	bio_set_dev(bio, bow->dev.bdev);
	bio->bi_iter.bi_sector += hidden->live - hidden->source;
	/* The worker may wait for it, and must not depend on somebody polling. */
	bio->bi_opf &= ~REQ_POLLED;
}

static int map_hidden(struct bow *bow, struct bio *bio, int index)
{
	struct bow_hidden *hidden = &bow->hidden[index];
	enum bow_state state;
	unsigned long flags;
	bool held;

	spin_lock_irqsave(&bow->hide_lock, flags);
	state = READ_ONCE(bow->state);
	if (state != BOW_CHECKPOINT && state != BOW_FAILED) {
		/* A commit came between the look at the state and the lock. */
		spin_unlock_irqrestore(&bow->hide_lock, flags);
		return map_committed(bow, bio);
	}
	if (hidden->broken && op_is_write(bio_op(bio))) {
		spin_unlock_irqrestore(&bow->hide_lock, flags);
		bio_io_error(bio);
		return DM_MAPIO_SUBMITTED;
	}
	held = hidden->held;
	if (!held) {
		hidden->inflight++;
		bio_to_pb(bio)->hidden = index;
		redirect(bow, bio, hidden);
	} else if (!(bio->bi_opf & REQ_NOWAIT)) {
		bio_list_add(&hidden->parked, bio);
	}
	spin_unlock_irqrestore(&bow->hide_lock, flags);
	if (!held)
		return DM_MAPIO_REMAPPED;
	if (bio->bi_opf & REQ_NOWAIT)
		bio_wouldblock_error(bio);
	return DM_MAPIO_SUBMITTED;
}

int bow_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct bow *bow = ti_to_bow(ti);
	int index = bio_to_pb(bio)->hidden;
	unsigned long flags;

	if (index < 0)
		return DM_ENDIO_DONE;
	spin_lock_irqsave(&bow->hide_lock, flags);
	if (!--bow->hidden[index].inflight)
		wake_up(&bow->hide_wait);
	spin_unlock_irqrestore(&bow->hide_lock, flags);
	return DM_ENDIO_DONE;
}

static bool nothing_redirected(struct bow *bow, u32 index)
{
	bool none;

	spin_lock_irq(&bow->hide_lock);
	none = !bow->hidden[index].inflight;
	spin_unlock_irq(&bow->hide_lock);
	return none;
}

void bow_hide_hold(struct cow_dev *dev, u32 index)
{
	struct bow *bow = dev_to_bow(dev);

	spin_lock_irq(&bow->hide_lock);
	bow->hidden[index].held = true;
	spin_unlock_irq(&bow->hide_lock);
	wait_event(bow->hide_wait, nothing_redirected(bow, index));
}

static void map_again(struct bow *bow, struct bio *bio, u32 index)
{
	if (map_hidden(bow, bio, index) == DM_MAPIO_REMAPPED)
		dm_submit_bio_remap(bio, NULL);
}

void bow_hide_release(struct cow_dev *dev, u32 index)
{
	struct bow *bow = dev_to_bow(dev);
	struct bow_hidden *hidden = &bow->hidden[index];
	struct bio_list parked;
	struct bio *bio;

	bio_list_init(&parked);
	spin_lock_irq(&bow->hide_lock);
	hidden->live = dev->cow.log.head.hidden[index].live;
	hidden->held = false;
	/* A header or a commit failed: the disk may name either place. */
	hidden->broken = dev->cow.failed;
	bio_list_merge(&parked, &hidden->parked);
	bio_list_init(&hidden->parked);
	spin_unlock_irq(&bow->hide_lock);
	while ((bio = bio_list_pop(&parked)))
		map_again(bow, bio, index);
}

/*
 * A bio that touches a hidden block: cut it where the block ends. True if *@r
 * says what became of it.
 */
static bool map_near_hidden(struct bow *bow, struct bio *bio, int *r)
{
	u64 end;
	int index = find_hidden(bow, bio->bi_iter.bi_sector, &end);

	if (bio_end_sector(bio) > end)
		dm_accept_partial_bio(bio, end - bio->bi_iter.bi_sector);
	if (index < 0)
		return false;
	*r = map_hidden(bow, bio, index);
	return true;
}

/* ---- checkpoint --------------------------------------------------------- */

static void forget_discard(struct bow *bow, u64 first, u64 nr)
{
	/* Pairs with alloc_discarded(): all bits are there, and zero. */
	unsigned long *discarded = smp_load_acquire(&bow->discarded);

	if (!discarded)
		return;
	for (; nr; nr--, first++)
		if (test_bit(first, discarded))
			clear_bit(first, discarded);
}

static bool write_passes(struct cow *cow, u64 first, u64 nr)
{
	if (cow_map_passes(&cow->map, first, nr))
		return true;
	cow_map_replace(&cow->map, first, nr, COW_FREE, COW_LOOSE);
	return cow_map_passes(&cow->map, first, nr);
}

static int map_write(struct bow *bow, struct bio *bio)
{
	struct cow_waiter *waiter = &bio_to_pb(bio)->waiter;
	u64 first, nr;

	cow_bio_touches(&bow->dev.cow.geo, bio, &first, &nr);
	forget_discard(bow, first, nr);
	if (write_passes(&bow->dev.cow, first, nr))
		return pass(bow, bio);
	if (bio->bi_opf & REQ_NOWAIT) {
		bio_wouldblock_error(bio);
		return DM_MAPIO_SUBMITTED;
	}
	waiter->first = first;
	waiter->last = first + nr - 1;
	cow_dev_write(&bow->dev, waiter);
	return DM_MAPIO_SUBMITTED;
}

/* A discard has no effect on the device; after a resume it is remembered. */
static int note_discard(struct bow *bow, struct bio *bio)
{
	/* Pairs with alloc_discarded(): all bits are there, and zero. */
	unsigned long *discarded = smp_load_acquire(&bow->discarded);
	u64 first, nr;

	covered(bow, bio, &first, &nr);
	if (discarded)
		for (; nr; nr--, first++)
			set_bit(first, discarded);
	return complete_bio(bio);
}

static int map_checkpoint(struct bow *bow, struct bio *bio)
{
	int r;

	if (bio_op(bio) == REQ_OP_DISCARD)
		return note_discard(bow, bio);
	if (bio->bi_iter.bi_sector < bow->hidden_end && map_near_hidden(bow, bio, &r))
		return r;
	return op_is_write(bio_op(bio)) ? map_write(bow, bio) : pass(bow, bio);
}

int bow_map_bio(struct dm_target *ti, struct bio *bio)
{
	struct bow *bow = ti_to_bow(ti);

	bio_to_pb(bio)->hidden = -1;
	if (!bio_sectors(bio))
		return pass(bow, bio);	/* an empty flush */
	switch (smp_load_acquire(&bow->state)) {
	case BOW_TRIM:
		return map_trim(bow, bio);
	case BOW_COMMITTED:
		return map_committed(bow, bio);
	default:	/* failed: no write is let through that needs a copy */
		return map_checkpoint(bow, bio);
	}
}

/* The core is done with a write. The worker's. */
void bow_release(struct cow_dev *dev, struct cow_waiter *waiter, int error)
{
	struct bio *bio = waiter_to_bio(waiter);

	if (!error) {
		pass(dev_to_bow(dev), bio);
		dm_submit_bio_remap(bio, NULL);
		return;
	}
	bio->bi_status = error == REQUEUE ? BLK_STS_DM_REQUEUE :
					    errno_to_blk_status(error);
	bio_endio(bio);
}
