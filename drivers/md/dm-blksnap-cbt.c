// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changed-block tracking.
 */
#include "dm-blksnap-cbt.h"

static u32 entry_of(u32 last, u32 before)
{
	return before << 16 | last;
}

static u32 last_of(u32 entry)
{
	return entry & 0xffff;
}

static u32 before_of(u32 entry)
{
	return entry >> 16;
}

static u32 default_shift(u64 sectors)
{
	u32 shift = ilog2(SNAP_CBT_DEFAULT_SECTORS);

	while (sectors >> shift > SNAP_CBT_DEFAULT_BLOCKS)
		shift++;
	return shift;
}

int snap_cbt_init(struct snap_cbt *cbt, u64 sectors, u32 block_sectors)
{
	cbt->shift = block_sectors ? ilog2(block_sectors) : default_shift(sectors);
	cbt->nr = ((sectors - 1) >> cbt->shift) + 1;
	cbt->epoch = 1;
	cbt->restarts = 0;
	cow_random_bytes(cbt->generation, sizeof(cbt->generation));
	cbt->entries = cow_zalloc(cbt->nr * sizeof(*cbt->entries));
	return cbt->entries ? 0 : -ENOMEM;
}

void snap_cbt_exit(struct snap_cbt *cbt)
{
	cow_free(cbt->entries);
	cbt->entries = NULL;
}

/*
 * After an entry has been read, so that one that was marked in a later epoch is never
 * replaced: marks that are not writes to the origin may go on during a take.
 */
static u32 epoch_now(const struct snap_cbt *cbt)
{
	/* Pairs with try_cmpxchg(): who marked the entry knew no later epoch. */
	smp_rmb();
	return READ_ONCE(cbt->epoch);
}

/* Most find that somebody has been there. */
static void mark_block(const struct snap_cbt *cbt, u32 *entry)
{
	u32 old = READ_ONCE(*entry), epoch;

	do {
		epoch = epoch_now(cbt);
		if (last_of(old) == epoch)
			return;
	} while (!try_cmpxchg(entry, &old, entry_of(epoch, last_of(old))));
}

void snap_cbt_mark(struct snap_cbt *cbt, u64 sector, u64 nr)
{
	u64 block, end;

	if (!cbt->entries)
		return;
	end = ((sector + nr - 1) >> cbt->shift) + 1;
	for (block = sector >> cbt->shift; block < end; block++)
		mark_block(cbt, &cbt->entries[block]);
}

/*
 * A backup of the image has what no other snapshot has, before or after: the block has
 * changed since, and right after the snapshot too.
 */
static u32 mark_both(u32 old, u32 epoch, u32 number)
{
	u32 before = last_of(old) == epoch ? before_of(old) : last_of(old);

	return entry_of(epoch, max(before, number + 1));
}

void snap_cbt_mark_image(struct snap_cbt *cbt, u32 number, u64 sector, u64 nr)
{
	u64 block, end;

	if (!cbt->entries)
		return;
	end = ((sector + nr - 1) >> cbt->shift) + 1;
	for (block = sector >> cbt->shift; block < end; block++) {
		u32 *entry = &cbt->entries[block];
		u32 old = READ_ONCE(*entry);

		while (!try_cmpxchg(entry, &old, mark_both(old, epoch_now(cbt), number)))
			;
	}
}

void snap_cbt_restart(struct snap_cbt *cbt)
{
	if (!cbt->entries)
		return;
	WRITE_ONCE(cbt->restarts, cbt->restarts + 1);
	/* Whoever reads what follows finds that it is of another generation. */
	smp_wmb();
	memset(cbt->entries, 0, cbt->nr * sizeof(*cbt->entries));
	cow_random_bytes(cbt->generation, sizeof(cbt->generation));
	WRITE_ONCE(cbt->epoch, 1);
}

u32 snap_cbt_next(struct snap_cbt *cbt)
{
	if (!cbt->entries)
		return 0;
	if (cbt->epoch >= SNAP_CBT_LAST_EPOCH)
		snap_cbt_restart(cbt);
	WRITE_ONCE(cbt->epoch, cbt->epoch + 1);
	return cbt->epoch - 1;
}

u32 snap_cbt_value(const struct snap_cbt *cbt, u64 block, u32 number)
{
	u32 entry = READ_ONCE(cbt->entries[block]);

	if (last_of(entry) <= number)
		return last_of(entry);
	return before_of(entry) <= number ? before_of(entry) : SNAP_CBT_FORGOTTEN;
}

u32 snap_cbt_last(const struct snap_cbt *cbt, u64 block)
{
	return last_of(READ_ONCE(cbt->entries[block]));
}

void snap_cbt_restore(struct snap_cbt *cbt, u64 block, u32 last)
{
	cbt->entries[block] = entry_of(last, SNAP_CBT_FORGOTTEN);
}

void snap_cbt_adopt(struct snap_cbt *cbt, const u8 generation[16], u32 epoch)
{
	memcpy(cbt->generation, generation, sizeof(cbt->generation));
	cbt->epoch = epoch;
}
