// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving slot 1, the seal and live copies out of the filesystem's way. Each is
 * named by a header, so each move is: the new place, a flush, the header that
 * names it, a flush; only then may the filesystem write to the old place.
 */
#include "dm-cow.h"

/* What is to be moved cannot be read: no other place will help. */
#define UNREADABLE (-ENODATA)

static int copy_block(struct cow *cow, u64 from, u64 to)
{
	u32 sectors = cow->geo.block_sectors;

	if (cow_read(cow->io, from, cow->buf, sectors))
		return UNREADABLE;
	return cow_write(cow->io, to, cow->buf, sectors);
}

/* A header that could not be written: nobody knows which one is on disk. */
static int header_failed(struct cow *cow, int r)
{
	if (r)
		cow_fail_log(cow);
	return r;
}

static int move_slot1(struct cow *cow, u64 place)
{
	int r = cow_log_move_slot1(&cow->log, cow->io, place);

	/* If it has its old place still, block 0 has not been touched. */
	return r && cow->log.head.slot1 == place ? header_failed(cow, r) : r;
}

/* An unused seal is only named; @place 0 says that there is none. */
static int move_seal(struct cow *cow, u64 place)
{
	cow->log.head.seal = place;
	return header_failed(cow, cow_log_write_group(&cow->log, cow->io));
}

static int copy_live(struct cow *cow, u32 index, u64 place)
{
	struct cow_hidden *hidden = &cow->log.head.hidden[index];
	int r = copy_block(cow, hidden->live, place);

	/* The copy is whole before a header names it. */
	if (!r)
		r = cow_flush(cow->io);
	if (r)
		return r;
	hidden->live = place;
	return header_failed(cow, cow_log_write_group(&cow->log, cow->io));
}

static int move_live(struct cow *cow, u32 index, u64 place)
{
	int r;

	/* A write between copy and release would be lost. */
	cow->env->hide_hold(cow, index);
	r = copy_live(cow, index, place);
	cow->env->hide_release(cow, index);
	return r;
}

static int move_named(struct cow *cow, u64 sector, u64 place)
{
	const struct cow_head *head = &cow->log.head;
	u32 i;

	if (sector == head->seal)
		return move_seal(cow, place);
	if (!place)
		return -ENOSPC;
	if (sector == head->slot1)
		return move_slot1(cow, place);
	for (i = 0; i < head->hidden_count; i++)
		if (sector == head->hidden[i].live)
			return move_live(cow, i, place);
	return -EINVAL;
}

static int try_move(struct cow *cow, u64 block)
{
	u64 to = cow_take_block(cow);
	int r = move_named(cow, cow_block_to_sector(&cow->geo, block),
			   cow_block_to_sector(&cow->geo, to));

	if (!r || (!to && !cow->failed))
		return r;
	if (r == UNREADABLE) {
		cow_map_set(&cow->map, to, 1, COW_FREE);
		return r;
	}
	/*
	 * Bad there, so not to be tried again; and what it holds is not durable, so
	 * it must not become the source of a copy either. A failed log may name it.
	 */
	if (!cow->failed)
		cow_map_set(&cow->map, to, 1, COW_LOOSE);
	return -EIO;
}

int cow_move_place(struct cow *cow, u64 block)
{
	unsigned int tries;
	int r = -EIO;

	for (tries = 0; r == -EIO && tries < COW_BACKUP_TRIES && !cow->failed; tries++)
		r = try_move(cow, block);
	cow->stats.moves++;
	if (r)
		return r == UNREADABLE ? -EIO : r;
	cow->stats.collisions++;
	/* It was free at the checkpoint and never a source: no backup needed. */
	cow_map_set(&cow->map, block, 1, COW_LOOSE);
	return 0;
}
