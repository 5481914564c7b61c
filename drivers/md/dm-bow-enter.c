// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entering a checkpoint: the log is built in free space, then block 0 names it.
 */
#include "dm-bow-proto.h"
#include "dm-cow-finish.h"

#ifndef FREEMAP_MAX		/* tests make it smaller */
#define FREEMAP_MAX 65536	/* extents remembered */
#endif
#define MIN_BACKUP_BLOCKS 16	/* less space than this is no checkpoint */
#define RESERVE_SHARE 32	/* one block in so many is kept for a resume */
#define RESERVE_MAX 16384	/* blocks */

/* Where filesystems keep what they are recognised by. */
static const struct {
	u32 start;
	u32 end;
} hidden_bytes[] = {
	{ 0, 8192 },
	{ 65536, 69632 },
};

/* ---- the free map ------------------------------------------------------- */

static u64 free_extent(const struct cow *cow, u64 from, u64 *start)
{
	u64 end = cow->geo.nr_blocks;

	*start = cow_map_next(&cow->map, from, end, COW_FREE);
	return cow_map_next_not(&cow->map, *start, end, COW_FREE) - *start;
}

static u64 count_extents(const struct cow *cow, u64 min_blocks)
{
	u64 start, nr, count = 0;

	for (nr = free_extent(cow, 0, &start); nr;
	     nr = free_extent(cow, start + nr, &start)) {
		count += nr >= min_blocks;
		cond_resched();
	}
	return count;
}

/* The shortest extents are forgotten if there are too many. */
static int remember_free(struct cow *cow)
{
	u64 min_blocks = 1, count = count_extents(cow, min_blocks);
	u64 start, nr;

	while (count > FREEMAP_MAX) {
		min_blocks *= 2;
		count = count_extents(cow, min_blocks);
	}
	cow_free(cow->freemap);
	cow->nr_freemap = 0;
	cow->freemap = cow_zalloc((count + 1) * sizeof(*cow->freemap));
	if (!cow->freemap)
		return -ENOMEM;
	for (nr = free_extent(cow, 0, &start); nr;
	     nr = free_extent(cow, start + nr, &start))
		if (nr >= min_blocks)
			cow->freemap[cow->nr_freemap++] =
				(struct cow_extent) { start, nr };
	return 0;
}

/* Nothing of ours needs to be kept: what was free is free. */
static void free_all(struct cow *cow)
{
	u64 i;

	for (i = 0; i < cow->nr_freemap; i++)
		cow_map_replace(&cow->map, cow->freemap[i].start,
				cow->freemap[i].nr, COW_PROTECTED, COW_FREE);
}

/* ---- hidden blocks ------------------------------------------------------ */

static void hide(struct cow *cow, u64 block)
{
	struct cow_head *head = &cow->log.head;
	u64 source = cow_block_to_sector(&cow->geo, block);
	u32 last = head->hidden_count - 1;

	if (head->hidden_count && head->hidden[last].source == source)
		return;
	if (source + cow->geo.block_sectors > cow->geo.sectors)
		return;
	head->hidden[head->hidden_count++].source = source;
	cow_map_set(&cow->map, block, 1, COW_PROTECTED);
}

static void choose_hidden(struct cow *cow)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hidden_bytes); i++) {
		u64 block = cow_sector_to_block(&cow->geo, hidden_bytes[i].start >> 9);
		u64 last = cow_sector_to_block(&cow->geo,
					       (hidden_bytes[i].end - 1) >> 9);

		for (; block <= last; block++)
			hide(cow, block);
	}
}

/* The last block, if it is short, has no room for another block's contents. */
static void protect_short_block(struct cow *cow)
{
	if (cow->geo.sectors & (cow->geo.block_sectors - 1))
		cow_map_set(&cow->map, cow->geo.nr_blocks - 1, 1, COW_PROTECTED);
}

static int save_hidden(struct cow *cow, struct cow_hidden *hidden)
{
	u32 sectors = cow->geo.block_sectors;
	u64 backup = cow_block_to_sector(&cow->geo, cow_take_block(cow));
	struct cow_record record = {
		.kind = COW_RECORD_BACKUP,
		.source = hidden->source,
		.dest = backup,
		.sectors = sectors,
	};
	int r;

	hidden->live = cow_block_to_sector(&cow->geo, cow_take_block(cow));
	if (!backup || !hidden->live)
		return -ENOSPC;
	r = cow_read(cow->io, hidden->source, cow->buf, sectors);
	if (!r)
		r = cow_write(cow->io, backup, cow->buf, sectors);
	if (!r)
		r = cow_write(cow->io, hidden->live, cow->buf, sectors);
	record.crc = cow_crc(cow->buf, (size_t)sectors << 9);
	cow_log_add(&cow->log, &record);
	return r;
}

static int blank_hidden(struct cow *cow)
{
	const struct cow_head *head = &cow->log.head;
	int r = 0;
	u32 i;

	memset(cow->buf, 0, (size_t)cow->geo.block_sectors << 9);
	for (i = 1; i < head->hidden_count && !r; i++)
		r = cow_write(cow->io, head->hidden[i].source, cow->buf,
			      cow->geo.block_sectors);
	return r ? r : cow_flush(cow->io);
}

/* ---- the log ------------------------------------------------------------ */

static void begin_log(struct cow *cow, const u8 uuid[16], u64 time)
{
	struct cow_head *head = &cow->log.head;

	cow_log_reset(&cow->log);
	cow_ahead_reset(cow);
	cow->nr_voids = 0;
	cow->voids_first = false;
	memcpy(head->uuid, uuid, sizeof(head->uuid));
	head->state = COW_LOG_CHECKPOINT;
	head->time = time;
	head->device_sectors = cow->geo.sectors;
	head->block_sectors = cow->geo.block_sectors;
}

/* The highest run of @want blocks; the longest seen if there is none so long. */
static u64 find_reserve(const struct cow *cow, u64 want, u64 *start)
{
	u64 at, nr, best = 0, below = cow->geo.nr_blocks;

	for (; best < want && below; below = at) {
		nr = cow_map_free_run_below(&cow->map, below, want, &at);
		if (!nr)
			break;
		/* The reader believes in a reserve only inside the free map. */
		if (nr > best && cow_was_free(cow, at)) {
			best = nr;
			*start = at;
		}
		cond_resched();
	}
	return best;
}

/* A mount after a crash must write before it can tell us what is free. */
static void add_reserve(struct cow *cow)
{
	u64 want = min_t(u64, cow_map_nr_free(&cow->map) / RESERVE_SHARE, RESERVE_MAX);
	u64 nr, start = 0;
	struct cow_record record = { .kind = COW_RECORD_RESERVE };

	if (!want)
		return;
	nr = find_reserve(cow, want, &start);
	nr = cow_map_take(&cow->map, start, nr);
	record.source = cow_block_to_sector(&cow->geo, start);
	record.dest = cow_block_to_sector(&cow->geo, nr);
	cow_log_add(&cow->log, &record);
}

static int add_extent(struct cow *cow, const struct cow_extent *extent)
{
	struct cow_record record = {
		.kind = COW_RECORD_FREE,
		.source = cow_block_to_sector(&cow->geo, extent->start),
		.dest = cow_block_to_sector(&cow->geo, extent->nr),
	};
	int r = 0;

	if (cow_log_full(&cow->log)) {
		u64 place = cow_take_block(cow);

		if (!place)
			return -ENOSPC;
		r = cow_log_write_sealed(&cow->log, cow->io,
					 cow_block_to_sector(&cow->geo, place));
		cow->stats.log_blocks++;
	}
	cow_log_add(&cow->log, &record);
	return r;
}

static int write_free_map(struct cow *cow)
{
	int r = 0;
	u64 i;

	for (i = 0; i < cow->nr_freemap && !r; i++)
		r = add_extent(cow, &cow->freemap[i]);
	return r;
}

/* All that block 0 is going to name. */
static int build_log(struct cow *cow)
{
	struct cow_head *head = &cow->log.head;
	int r = 0;
	u32 i;

	head->slot1 = cow_block_to_sector(&cow->geo, cow_take_block(cow));
	for (i = 0; i < head->hidden_count && !r; i++)
		r = save_hidden(cow, &head->hidden[i]);
	if (!r)
		add_reserve(cow);
	if (!r)
		r = write_free_map(cow);
	head->seal = cow_block_to_sector(&cow->geo, cow_take_block(cow));
	cow->stats.log_blocks += 2 + head->hidden_count;
	return r;
}

static u64 blocks_needed(const struct cow *cow)
{
	u64 pages = cow->nr_freemap / COW_PAGE_RECORDS + 1;

	return 2 * cow->log.head.hidden_count + 2 + pages + COW_RESERVE_BLOCKS +
	       MIN_BACKUP_BLOCKS;
}

static int go_live(struct cow *cow)
{
	bool named = false;
	int r;

	r = cow_log_write_first(&cow->log, &cow->geo, cow->io, cow->buf, &named);
	if (!r)
		r = blank_hidden(cow);
	/* Block 0 may carry our header already: put the filesystem's blocks back. */
	if (r && named && cow_put_back(&cow->log, &cow->geo, cow->io, cow->buf))
		cow->failed = true;
	return r;
}

static int enter(struct cow *cow)
{
	int r;

	memset(&cow->stats, 0, sizeof(cow->stats));
	cow_alloc_reset(&cow->alloc, &cow->map);
	cow->passing = false;
	cow->full = false;
	cow->low = false;
	r = build_log(cow);
	cow->nr_initial_free = cow_map_nr_free(&cow->map);
	return r ? r : go_live(cow);
}

int bow_enter(struct cow *cow, const u8 uuid[16], u64 time, u64 *needed)
{
	int r;

	begin_log(cow, uuid, time);
	choose_hidden(cow);
	protect_short_block(cow);
	r = remember_free(cow);
	*needed = blocks_needed(cow);
	if (!r && cow_map_nr_free(&cow->map) < *needed)
		r = -ENOSPC;
	if (!r)
		r = enter(cow);
	if (r && !cow->failed)
		free_all(cow);
	return r;
}
