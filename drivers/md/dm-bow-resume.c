// SPDX-License-Identifier: GPL-2.0-only
/*
 * Going on with a checkpoint after a crash, and taking free space back.
 *
 * What was FREE when the machine went down may have been written since: it is
 * LOOSE now. Only the reserve, which every write to it would have logged, is
 * known to be free; half of it is kept for the next crash.
 */
#include "dm-bow-proto.h"

static int copy_freemap(struct cow *cow, const struct cow_ranges *set)
{
	struct cow_range *range;

	cow_free(cow->freemap);
	cow->nr_freemap = 0;
	cow->freemap = cow_zalloc((set->count + 1) * sizeof(*cow->freemap));
	if (!cow->freemap)
		return -ENOMEM;
	for (range = cow_ranges_first(set); range; range = cow_ranges_next(range))
		cow->freemap[cow->nr_freemap++] =
			(struct cow_extent) { range->start, range->nr };
	return 0;
}

static void set_ranges(struct cow *cow, const struct cow_ranges *set,
		       enum cow_state state)
{
	struct cow_range *range;

	for (range = cow_ranges_first(set); range; range = cow_ranges_next(range)) {
		cow_map_set(&cow->map, range->start, range->nr, state);
		cond_resched();
	}
}

static u64 void_dest(const struct cow *cow, const struct cow_record *record)
{
	return cow_sector_to_block(&cow->geo, record->dest);
}

static void set_void_dests(struct cow *cow, const struct cow_picture *pic,
			   enum cow_state state)
{
	u32 i;

	for (i = 0; i < pic->nr_voids; i++)
		cow_map_set(&cow->map, void_dest(cow, &pic->voids[i]),
			    cow_blocks_of(&cow->geo, pic->voids[i].sectors), state);
}

/*
 * A cut record says that its source was not written to, so it must not be until
 * the void is durable. One in free space is the bad place of an older backup.
 */
static void protect_void_sources(struct cow *cow, const struct cow_picture *pic)
{
	u32 i;

	for (i = 0; i < pic->nr_voids; i++)
		cow_map_replace(&cow->map,
				cow_sector_to_block(&cow->geo, pic->voids[i].source),
				cow_blocks_of(&cow->geo, pic->voids[i].sectors),
				COW_LOOSE, COW_PROTECTED);
}

static void build_map(struct cow *cow, const struct cow_picture *pic)
{
	const struct cow_head *head = &cow->log.head;
	u32 i;

	cow_map_set(&cow->map, 0, cow->geo.nr_blocks, COW_PROTECTED);
	set_ranges(cow, &pic->free, COW_LOOSE);
	if (pic->reserve_nr)
		cow_map_set(&cow->map, pic->reserve_start, pic->reserve_nr,
			    COW_PROTECTED);
	set_ranges(cow, &pic->moved, COW_CHANGED);
	set_ranges(cow, &pic->ours, COW_PROTECTED);
	for (i = 0; i < head->hidden_count; i++)
		cow_map_set(&cow->map,
			    cow_sector_to_block(&cow->geo, head->hidden[i].source),
			    1, COW_PROTECTED);
	set_void_dests(cow, pic, COW_PROTECTED);
	protect_void_sources(cow, pic);
}

static void add_kept_reserve(struct cow *cow, const struct cow_picture *pic,
			     u64 keep)
{
	struct cow_record record = {
		.kind = COW_RECORD_RESERVE,
		.source = cow_block_to_sector(&cow->geo, pic->reserve_start),
		.dest = cow_block_to_sector(&cow->geo, keep),
	};

	cow_log_add(&cow->log, &record);
}

/* What lies above the part that is kept, unless it was written to. */
static void use_reserve(struct cow *cow, const struct cow_picture *pic, u64 keep)
{
	u64 block = pic->reserve_start + keep;
	u64 end = pic->reserve_start + pic->reserve_nr;

	while (block < end) {
		struct cow_range *moved, *ours;
		u64 nr = cow_ranges_piece(&pic->moved, block, end - block, &moved);

		nr = cow_ranges_piece(&pic->ours, block, nr, &ours);
		if (!moved && !ours)
			cow_map_set(&cow->map, block, nr, COW_FREE);
		block += nr;
	}
}

/*
 * Before any block is given away: a version younger than both headers, over
 * the slot that is not the newest. It carries the voids. True in *@usable if
 * there was room for all that had to be said.
 */
static int first_act(struct cow *cow, const struct cow_picture *pic, u64 keep,
		     bool *usable)
{
	if (cow_tail_room(cow) <= cow->nr_voids && cow->log.head.seal)
		cow_log_turn(&cow->log);
	/* Records of a page that was turned are never judged again: voids first. */
	if (cow_tail_room(cow) >= cow->nr_voids)
		cow_add_voids(cow);
	*usable = !cow->nr_voids && cow_tail_room(cow);
	if (*usable)
		add_kept_reserve(cow, pic, keep);
	return cow_log_write_group(&cow->log, cow->io);
}

static void reset_run(struct cow *cow, const struct cow_picture *pic)
{
	memset(&cow->stats, 0, sizeof(cow->stats));
	cow->passing = false;
	cow->full = false;
	cow->low = false;
	cow->stats.copied_blocks = pic->backup_sectors >> cow->geo.block_shift;
	cow->stats.backup = cow->stats.copied_blocks;
	cow->stats.changed = cow->stats.copied_blocks;
	cow->stats.log_blocks = pic->nr_pages + 1 + pic->log.head.hidden_count +
				!!pic->log.head.seal;
	cow_alloc_reset(&cow->alloc, &cow->map);
}

/*
 * A backup that cannot be read is taken for void if its source still says the
 * same. If that was a place of ours, the filesystem may have claimed it and have
 * written what was there already; it would be free after a commit.
 */
static bool perhaps_in_use(const struct cow *cow, const struct cow_picture *pic)
{
	struct cow_range *range;
	u32 i;

	if (!pic->unreadable)
		return false;
	for (i = 0; i < pic->nr_voids; i++) {
		u64 nr = cow_blocks_of(&cow->geo, pic->voids[i].sectors);
		u64 block = cow_sector_to_block(&cow->geo, pic->voids[i].source);

		if (cow_ranges_piece(&pic->free, block, nr, &range) < nr || range)
			return true;
	}
	return false;
}

int bow_resume(struct cow *cow, struct cow_picture *pic)
{
	u64 keep = pic->reserve_nr / 2;
	bool usable;
	int r;

	if (pic->log.head.state != COW_LOG_CHECKPOINT)
		return -EBUSY;
	if (pic->log.read_only)
		return -EROFS;
	if (pic->geo.block_sectors != cow->geo.block_sectors)
		return -EINVAL;
	if (perhaps_in_use(cow, pic))
		return -EIO;
	r = copy_freemap(cow, &pic->free);
	if (r)
		return r;
	reset_run(cow, pic);
	cow_adopt_log(cow, pic);
	build_map(cow, pic);
	r = first_act(cow, pic, keep, &usable);
	if (r || !usable)
		return r;
	/* The voids are durable: nothing in these blocks is ever asked for. */
	set_void_dests(cow, pic, COW_LOOSE);
	use_reserve(cow, pic, keep);
	cow->nr_initial_free = cow_map_nr_free(&cow->map);
	return 0;
}

void bow_reclaim(struct cow *cow, unsigned long *discarded)
{
	u64 block;

	for (block = 0; block < cow->geo.nr_blocks; block++) {
		unsigned long *word = &discarded[block / BITS_PER_LONG];

		if (!*word) {
			block |= BITS_PER_LONG - 1;
			continue;
		}
		if (*word >> (block % BITS_PER_LONG) & 1)
			cow_map_replace(&cow->map, block, 1, COW_LOOSE, COW_FREE);
		if (block % BITS_PER_LONG == BITS_PER_LONG - 1) {
			*word = 0;
			cond_resched();
		}
	}
	discarded[(cow->geo.nr_blocks - 1) / BITS_PER_LONG] = 0;
	cow_alloc_reset(&cow->alloc, &cow->map);
	cow->full = false;
	cow->low = false;
}

void bow_settle(struct cow *cow)
{
	u64 i;

	if (!cow->passing)
		return;
	for (i = 0; i < cow->nr_freemap; i++)
		cow_map_replace(&cow->map, cow->freemap[i].start,
				cow->freemap[i].nr, COW_PROTECTED, COW_FREE);
	cow_map_replace(&cow->map, 0, cow->geo.nr_blocks, COW_LOOSE, COW_PROTECTED);
	cow_map_replace(&cow->map, 0, cow->geo.nr_blocks, COW_CHANGED, COW_PROTECTED);
	cow_map_settled(&cow->map);
	cow->passing = false;
}
