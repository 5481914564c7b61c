// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core object: what its worker does next.
 */
#include "dm-cow.h"

int cow_init(struct cow *cow, u64 sectors, u32 block_sectors, struct cow_io *io,
	     const struct cow_env_ops *env)
{
	unsigned int i;
	int r;

	memset(cow, 0, sizeof(*cow));
	cow->io = io;
	cow->env = env;
	for (i = 0; i < COW_BUSY_BUCKETS; i++)
		INIT_LIST_HEAD(&cow->busy[i]);
	INIT_LIST_HEAD(&cow->deferred);
	INIT_LIST_HEAD(&cow->held);
	INIT_LIST_HEAD(&cow->exclusives);
	cow_commit_init(cow);
	cow->geo.sectors = sectors;
	if (block_sectors) {
		cow_geometry_set(&cow->geo, sectors, block_sectors);
		r = cow_map_init(&cow->map, cow->geo.nr_blocks);
		if (r)
			return r;
		cow_alloc_reset(&cow->alloc, &cow->map);
	}
	cow->passing = !block_sectors;
	cow->buf = cow_zalloc(block_sectors ? (size_t)block_sectors << 9 : COW_PAGE_SIZE);
	r = cow_log_init(&cow->log);
	if (r || !cow->buf) {
		cow_exit(cow);
		return -ENOMEM;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(cow_init);

void cow_exit(struct cow *cow)
{
	cow_map_exit(&cow->map);
	cow_log_exit(&cow->log);
	cow_free(cow->buf);
	cow_free(cow->freemap);
	cow->buf = NULL;
	cow->freemap = NULL;
}
EXPORT_SYMBOL_GPL(cow_exit);

void cow_begin(struct cow *cow, struct cow_map *map, u32 block_sectors)
{
	struct cow_map old = cow->map;

	cow_geometry_set(&cow->geo, cow->geo.sectors, block_sectors);
	cow->map = *map;
	*map = old;
	cow->passing = false;
	cow_ahead_reset(cow);
}
EXPORT_SYMBOL_GPL(cow_begin);

unsigned int cow_reader_begin(struct cow *cow)
{
	atomic_inc(&cow->readers[cow->readers_now]);
	return cow->readers_now;
}
EXPORT_SYMBOL_GPL(cow_reader_begin);

bool cow_reader_end(struct cow *cow, unsigned int reader)
{
	return atomic_dec_and_test(&cow->readers[reader]);
}
EXPORT_SYMBOL_GPL(cow_reader_end);

static bool nothing_in_flight(const struct cow *cow)
{
	return !cow->inflight && list_empty(&cow->gathering->ops) &&
	       !cow->voids_first;
}

#ifndef __KERNEL__	/* for tests */
bool cow_is_idle(const struct cow *cow)
{
	return nothing_in_flight(cow) && list_empty(&cow->deferred) &&
	       list_empty(&cow->exclusives);
}
#endif

void cow_run_exclusive(struct cow *cow, struct cow_exclusive *exclusive)
{
	list_add_tail(&exclusive->node, &cow->exclusives);
}
EXPORT_SYMBOL_GPL(cow_run_exclusive);

/* Queued work keeps the gate shut, so groups run dry by themselves. */
static bool exclusive_turn(struct cow *cow)
{
	struct cow_exclusive *exclusive;

	if (list_empty(&cow->exclusives) || !nothing_in_flight(cow))
		return false;
	exclusive = list_first_entry(&cow->exclusives, struct cow_exclusive, node);
	list_del(&exclusive->node);
	exclusive->run(cow, exclusive);
	return true;
}

void cow_turn(struct cow *cow)
{
	bool changed;

	do {
		/* The gate first: who has come joins the group that may be closed. */
		changed = cow_gate_turn(cow);
		changed |= cow_commit_turn(cow);
		changed |= exclusive_turn(cow);
	} while (changed);
}
EXPORT_SYMBOL_GPL(cow_turn);

u64 cow_earlier_place(const struct cow *cow, u64 sector, u64 block, u64 end)
{
	u64 place = cow_sector_to_block(&cow->geo, sector);

	return sector && place >= block && place < end ? place : end;
}

u64 cow_next_place(const struct cow *cow, u64 block, u64 end)
{
	const struct cow_head *head = &cow->log.head;
	u32 i;

	if (cow->apart)
		return end;	/* they are on the store */
	end = cow_earlier_place(cow, head->slot1, block, end);
	end = cow_earlier_place(cow, head->seal, block, end);
	for (i = 0; i < head->hidden_count; i++)
		end = cow_earlier_place(cow, head->hidden[i].live, block, end);
	return end;
}

u64 cow_take_block(struct cow *cow)
{
	u64 block;

	if (cow->apart)
		return cow->env->take(cow, 1, &block) ? block : 0;
	return cow_alloc_run(&cow->alloc, &cow->map, 1, &block) ? block : 0;
}
EXPORT_SYMBOL_GPL(cow_take_block);

u32 cow_make_room(struct cow *cow)
{
	/* A full tail without a place to seal it needs one now. */
	if (!cow_log_room(&cow->log))
		cow->log.head.seal = cow_block_to_sector(&cow->geo, cow_take_block(cow));
	return cow_log_room(&cow->log);
}

/* The last extent of the free map that starts at or before @block. */
static const struct cow_extent *freemap_at(const struct cow *cow, u64 block)
{
	u64 low = 0, high = cow->nr_freemap;

	while (low < high) {
		u64 middle = low + (high - low) / 2;

		if (cow->freemap[middle].start <= block)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &cow->freemap[low - 1] : NULL;
}

bool cow_was_free(const struct cow *cow, u64 block)
{
	const struct cow_extent *extent = freemap_at(cow, block);

	return extent && block < extent->start + extent->nr;
}
EXPORT_SYMBOL_GPL(cow_was_free);

u64 cow_count_was_free(const struct cow *cow, u64 block, u64 nr)
{
	const struct cow_extent *end = cow->freemap + cow->nr_freemap;
	const struct cow_extent *extent = freemap_at(cow, block);
	u64 count = 0;

	if (!extent)
		extent = cow->freemap;
	for (; extent < end && extent->start < block + nr; extent++) {
		u64 from = max(extent->start, block);
		u64 to = min(extent->start + extent->nr, block + nr);

		if (from < to)
			count += to - from;
	}
	return count;
}
