// SPDX-License-Identifier: GPL-2.0-only
/*
 * Epochs of an origin, and where an image finds its blocks.
 */
#include "dm-blksnap-epoch.h"

void snap_init(struct snap *snap, struct cow *cow, const struct snap_ops *ops)
{
	snap->cow = cow;
	snap->ops = ops;
	INIT_LIST_HEAD(&snap->epochs);
	cow_range_pool_init(&snap->pool);
	cow_range_pool_fill(&snap->pool, SNAP_SPARE_RANGES, true);
	cow->apart = true;
	cow->unlogged = true;
	cow->passing = true;
}

void snap_exit(struct snap *snap)
{
	cow_range_pool_exit(&snap->pool);
}

/* See snap_copy_begins(). */
static void set_up_kept(struct snap_epoch *epoch, struct cow_range_pool *pool)
{
	epoch->kept.pool = pool;
	epoch->kept.promised = true;
	epoch->kept.merges = true;
}

int snap_epoch_init(struct snap_epoch *epoch, struct snap *snap,
		    struct snap_store *store, u32 block_sectors)
{
	struct cow_geometry geo;

	epoch->state = SNAP_NEW;
	epoch->has_image = true;
	epoch->block_sectors = block_sectors;
	epoch->store = store;
	INIT_LIST_HEAD(&epoch->node);
	INIT_LIST_HEAD(&epoch->making);
	cow_geometry_set(&geo, snap->cow->geo.sectors, block_sectors);
	if (cow_map_init(&epoch->map, geo.nr_blocks) ||
	    cow_ranges_init(&epoch->kept) || cow_ranges_init(&epoch->own) ||
	    cow_ranges_init(&epoch->blank)) {
		snap_epoch_exit(epoch);
		return -ENOMEM;
	}
	set_up_kept(epoch, &snap->pool);
	epoch->own.pool = &snap->pool;
	epoch->own.merges = true;
	return 0;
}

int snap_epoch_empty(struct snap_epoch *epoch)
{
	struct cow_range_pool *pool = epoch->kept.pool;
	int r;

	cow_ranges_exit(&epoch->kept);
	r = cow_ranges_init(&epoch->kept);
	set_up_kept(epoch, pool);
	epoch->kept_blocks = 0;
	return r;
}

void snap_epoch_exit(struct snap_epoch *epoch)
{
	cow_map_exit(&epoch->map);
	cow_ranges_exit(&epoch->kept);
	cow_ranges_exit(&epoch->own);
	cow_ranges_exit(&epoch->blank);
}

int snap_epoch_blank(struct snap_epoch *epoch, u64 sector, u64 nr)
{
	u32 shift = ilog2(epoch->block_sectors);
	u64 first = (sector + epoch->block_sectors - 1) >> shift, end = (sector + nr) >> shift;
	int r = cow_ranges_add(&epoch->blank, sector, nr, 0);

	/* A block that is blank only in part is kept like any other. */
	if (!r && first < end)
		cow_map_set(&epoch->map, first, end - first, COW_LOOSE);
	return r;
}

u64 snap_epoch_blanks(const struct snap_epoch *epoch, u64 sector, u64 nr, u64 *start)
{
	const struct cow_range *range = cow_ranges_at(&epoch->blank, sector);

	if (!range || range->start >= sector + nr)
		return 0;
	*start = max(sector, range->start);
	return min(sector + nr, range->start + range->nr) - *start;
}

bool snap_block_size_differs(const struct snap *snap, u32 block_sectors)
{
	const struct snap_epoch *epoch;

	list_for_each_entry(epoch, &snap->epochs, node)
		if (epoch->block_sectors != block_sectors)
			return true;
	return false;
}

static struct snap_epoch *newest(struct snap *snap)
{
	return list_last_entry(&snap->epochs, struct snap_epoch, node);
}

bool snap_is_held(const struct snap *snap)
{
	const struct snap_epoch *epoch;

	list_for_each_entry(epoch, &snap->epochs, node)
		if (epoch->held)
			return true;
	return false;
}

bool snap_may_arm(const struct snap *snap, const struct snap_epoch *epoch)
{
	return epoch->persistent ? list_empty(&snap->epochs) : !snap_is_held(snap);
}

int snap_epoch_fill(struct snap_epoch *epoch, const struct cow_ranges *moved, u64 base)
{
	struct cow_range_pool *pool = epoch->kept.pool;
	const struct cow_range *range;
	int r = 0;

	epoch->kept.pool = NULL;	/* here memory may be waited for */
	for (range = cow_ranges_first(moved); range && !r; range = cow_ranges_next(range)) {
		r = cow_ranges_add(&epoch->kept, range->start - base, range->nr, range->to);
		if (!r)
			epoch->kept_blocks += range->nr;
		cond_resched();
	}
	epoch->kept.pool = pool;
	return r;
}

void snap_arm(struct snap *snap, struct snap_epoch *epoch)
{
	epoch->held = epoch->persistent;
	list_add_tail(&epoch->node, &snap->epochs);
	WRITE_ONCE(epoch->state, SNAP_ACTIVE);
	cow_begin(snap->cow, &epoch->map, epoch->block_sectors);
}

void snap_disarm(struct snap *snap, struct snap_epoch *epoch)
{
	list_del_init(&epoch->node);
	epoch->held = false;
	WRITE_ONCE(epoch->state, SNAP_NEW);
	cow_begin(snap->cow, &epoch->map, epoch->block_sectors);
	cow_map_set(&epoch->map, 0, epoch->map.nr_blocks, COW_PROTECTED);
	snap->cow->passing = true;
}

void snap_remove(struct snap *snap, struct snap_epoch *epoch,
		 struct list_head *dead)
{
	epoch->has_image = false;
	if (epoch->state == SNAP_NEW)
		list_add(&epoch->node, dead);
	else
		snap_sweep(snap, dead);
}

/* Older images look into newer epochs, so they go from the oldest on. */
void snap_sweep(struct snap *snap, struct list_head *dead)
{
	struct snap_epoch *epoch, *tmp;

	list_for_each_entry_safe(epoch, tmp, &snap->epochs, node) {
		if (epoch->has_image || epoch->held)
			return;
		list_del(&epoch->node);
		list_add_tail(&epoch->node, dead);
	}
	snap->cow->passing = true;
}

u64 snap_count_needed(const struct snap *snap, u64 sector, u64 nr)
{
	const struct cow *cow = snap->cow;
	u64 block, end, needed = 0;

	if (cow->passing)
		return 0;
	end = cow_sector_to_block(&cow->geo, sector + nr - 1) + 1;
	block = cow_sector_to_block(&cow->geo, sector);
	while ((block = cow_map_next_stop(&cow->map, block, end)) < end) {
		u64 next = cow_map_next_not(&cow->map, block, end, COW_PROTECTED);

		needed += next - block;
		block = next;
	}
	return needed;
}

/* ---- the core's side ---------------------------------------------------- */

u64 snap_take(struct snap *snap, u64 want, u64 *dest)
{
	return snap->ops->take(snap, newest(snap)->store, want, dest);
}

/*
 * A group of copies is kept all at once, when nothing can be waited for: so memory is
 * put by for each of them before it begins.
 */
bool snap_copy_begins(struct snap *snap)
{
	return cow_range_pool_promise(&snap->pool);
}

void snap_copy_ends(struct snap *snap)
{
	cow_range_pool_unpromise(&snap->pool);
}

bool snap_fill(struct snap *snap)
{
	unsigned int nr = snap->pool.promised + SNAP_SPARE_RANGES;

	/* Many copies may have ended. */
	cow_range_pool_trim(&snap->pool, nr + SNAP_SPARE_RANGES / 2);
	return cow_range_pool_fill(&snap->pool, nr, false);
}

bool snap_is_out(const struct snap *snap)
{
	return snap->pool.nr <= snap->pool.promised;
}

bool snap_is_short(const struct snap *snap)
{
	return snap->pool.nr < snap->pool.promised + SNAP_SPARE_RANGES / 2;
}

u64 snap_left(struct snap *snap)
{
	return snap->cow->passing ? 0 : snap->ops->left(snap, newest(snap)->store);
}

int snap_keep(struct snap *snap, const struct cow_op *op)
{
	struct snap_epoch *epoch;
	int r;

	if (snap->cow->passing)
		return 0;	/* abandoned meanwhile, there may be no epoch */
	epoch = newest(snap);
	r = cow_ranges_add(&epoch->kept, op->source, op->nr, op->dest);
	if (!r)
		WRITE_ONCE(epoch->kept_blocks, epoch->kept_blocks + op->nr);
	return r;
}

void snap_abandon(struct snap *snap, enum snap_state state)
{
	struct snap_epoch *epoch;

	list_for_each_entry(epoch, &snap->epochs, node) {
		epoch->held = false;
		if (epoch->state != SNAP_ACTIVE)
			continue;
		/* Before any write that is let go for it; see image_end_io(). */
		smp_store_release(&epoch->state, state);
		snap->ops->changed(snap, epoch);
	}
	snap->cow->passing = true;
}

/* ---- images ------------------------------------------------------------- */

static struct snap_place find_old(struct snap *snap, struct snap_epoch *epoch,
				  u64 block)
{
	struct snap_place place = { NULL, block };

	list_for_each_entry_from(epoch, &snap->epochs, node) {
		if (cow_ranges_find(&epoch->kept, block, &place.block)) {
			place.store = epoch->store;
			break;
		}
	}
	return place;
}

/* The same for who is going to read it, see cow_reader_begin(). */
static struct snap_place read_old(struct snap *snap, struct snap_request *request)
{
	struct snap_place place = find_old(snap, request->epoch, request->block);

	if (!place.store)
		request->reader = cow_reader_begin(snap->cow);
	return place;
}

static struct snap_request *find_making(struct snap_epoch *epoch, u64 block)
{
	struct snap_request *request;

	list_for_each_entry(request, &epoch->making, node)
		if (request->block == block)
			return request;
	return NULL;
}

/* The first write to a block of an image: it gets a copy, then the write. */
static void make_own(struct snap *snap, struct snap_request *request)
{
	struct snap_epoch *epoch = request->epoch;
	struct snap_request *leader = find_making(epoch, request->block);
	struct snap_place place;

	if (leader) {
		list_add_tail(&request->node, &leader->followers);
		return;
	}
	if (!snap->ops->take(snap, epoch->store, 1, &request->dest)) {
		snap->ops->fail(snap, request, -ENOSPC);
		return;
	}
	INIT_LIST_HEAD(&request->followers);
	list_add_tail(&request->node, &epoch->making);
	place = read_old(snap, request);
	snap->ops->copy(snap, request, &place);
}

void snap_request_arrived(struct snap *snap, struct snap_request *request)
{
	struct snap_epoch *epoch = request->epoch;
	struct snap_place place = { epoch->store, 0 };

	request->reader = -1;
	request->blank = false;
	if (epoch->state != SNAP_ACTIVE) {
		snap->ops->fail(snap, request, -EIO);
		return;
	}
	if (!cow_ranges_find(&epoch->own, request->block, &place.block)) {
		if (request->is_write) {
			make_own(snap, request);
			return;
		}
		place = read_old(snap, request);
		request->blank = true;
	}
	snap->ops->send(snap, request, &place);
}

void snap_copied(struct snap *snap, struct snap_request *request, int error)
{
	struct snap_epoch *epoch = request->epoch;
	struct snap_request *follower, *tmp;
	LIST_HEAD(followers);

	snap_read_ends(snap, request);
	list_del(&request->node);
	list_splice_init(&request->followers, &followers);
	if (!error)
		error = cow_ranges_add(&epoch->own, request->block, 1, request->dest);
	if (error) {
		snap->ops->fail(snap, request, error);
	} else {
		WRITE_ONCE(epoch->own_blocks, epoch->own_blocks + 1);
		snap_request_arrived(snap, request);
	}
	list_for_each_entry_safe(follower, tmp, &followers, node) {
		list_del(&follower->node);
		snap_request_arrived(snap, follower);
	}
}

bool snap_read_ends(struct snap *snap, struct snap_request *request)
{
	int reader = request->reader;

	request->reader = -1;
	return reader >= 0 && cow_reader_end(snap->cow, reader);
}
