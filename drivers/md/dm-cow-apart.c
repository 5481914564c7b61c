// SPDX-License-Identifier: GPL-2.0-only
/*
 * A log on a store: how it begins, how it is gone on with, how it ends.
 *
 * Whoever writes to the origin never gets an error because of it, and never waits for
 * space. If something can not be logged the log is ended instead, before the first
 * write passes that it does not cover: as long as it is there, it is true.
 */
#include "dm-cow.h"
#include "dm-cow-picture.h"

static u64 take_place(struct cow *cow)
{
	return cow_block_to_sector(&cow->geo, cow_take_block(cow));
}

/* Nothing of a log of before is left in memory. */
static void start_over(struct cow *cow)
{
	memset(&cow->stats, 0, sizeof(cow->stats));
	cow->nr_voids = 0;
	cow->voids_first = false;
	cow->failed = false;
	cow->end_error = 0;
	cow->withdrawn = false;
}

static void end_log(struct cow *cow, int *r)
{
	*r = cow_log_end(&cow->log, cow->io);
	if (*r)
		cow->env->event(cow, COW_EVENT_STALE);
}

/* ---- the beginning ------------------------------------------------------ */

static void make_head(struct cow *cow, const u8 uuid[16], u64 time)
{
	struct cow_head *head = &cow->log.head;

	cow_log_reset(&cow->log);
	memcpy(head->uuid, uuid, sizeof(head->uuid));
	head->state = COW_LOG_CHECKPOINT;
	head->time = time;
	head->device_sectors = COW_ORIGIN_BASE + cow->geo.sectors;
	head->block_sectors = cow->geo.block_sectors;
	head->slot1 = take_place(cow);
	head->seal = take_place(cow);
	head->store_sectors = head->slot1 + head->block_sectors;
}

/* Of block 0 a page is all that is ever read. */
static int write_first(struct cow *cow)
{
	struct cow_geometry geo;
	bool named = false;
	int r, ended;

	cow_geometry_set(&geo, cow->io->store_sectors, COW_PAGE_SECTORS);
	r = cow_log_write_first(&cow->log, &geo, cow->io, cow->buf, &named);
	if (r && named)
		end_log(cow, &ended);
	return r;
}

int cow_apart_begin(struct cow *cow, const u8 uuid[16], u64 time)
{
	int r = -ENOSPC;

	start_over(cow);
	make_head(cow, uuid, time);
	if (cow->log.head.slot1)
		r = write_first(cow);
	cow->unlogged = r;
	cow->passing = r;
	cow->stats.log_blocks = 3;
	return r;
}
EXPORT_SYMBOL_GPL(cow_apart_begin);

/* ---- after a crash ------------------------------------------------------ */

/* What the log has is not kept again; all else is as it was when it began. */
static void build_map(struct cow *cow, const struct cow_picture *pic)
{
	u64 base = cow_sector_to_block(&cow->geo, COW_ORIGIN_BASE);
	const struct cow_range *range;

	for (range = cow_ranges_first(&pic->moved); range; range = cow_ranges_next(range)) {
		cow_map_set(&cow->map, range->start - base, range->nr, COW_CHANGED);
		cond_resched();
	}
}

/*
 * A version younger than both headers, over the slot that is not the newest. It
 * carries the voids; where it has no room for them the next group will not have any
 * either, if no page can be opened, and end the log.
 */
static int first_act(struct cow *cow)
{
	struct cow_head *head = &cow->log.head;

	if (cow_tail_room(cow) < cow->nr_voids && !head->seal)
		head->seal = take_place(cow);
	if (cow_tail_room(cow) < cow->nr_voids && head->seal)
		cow_log_turn(&cow->log);
	if (cow_tail_room(cow) >= cow->nr_voids)
		cow_add_voids(cow);
	return cow_log_write_group(&cow->log, cow->io);
}

static int check_resume(const struct cow *cow, const struct cow_picture *pic)
{
	const struct cow_head *head = &pic->log.head;

	if (head->state != COW_LOG_CHECKPOINT)
		return -EBUSY;
	if (pic->log.read_only)
		return -EROFS;
	if (head->block_sectors != cow->geo.block_sectors || !cow_head_apart(head) ||
	    head->device_sectors != COW_ORIGIN_BASE + cow->geo.sectors)
		return -EINVAL;
	return 0;
}

int cow_apart_resume(struct cow *cow, struct cow_picture *pic)
{
	int r = check_resume(cow, pic);

	cow->passing = true;
	if (r)
		return r;
	start_over(cow);
	cow->stats.log_blocks = pic->nr_pages + 2;
	cow->stats.copied_blocks = pic->backup_sectors >> cow->geo.block_shift;
	cow->stats.backup = cow->stats.copied_blocks;
	cow->stats.changed = cow->stats.copied_blocks;
	build_map(cow, pic);
	cow_adopt_log(cow, pic);
	r = first_act(cow);
	cow->unlogged = r;
	cow->passing = r;
	return r;
}
EXPORT_SYMBOL_GPL(cow_apart_resume);

/* ---- the end ------------------------------------------------------------ */

void cow_apart_leave(struct cow *cow, int error)
{
	cow->unlogged = true;
	cow->failed = false;
	cow->end_error = 0;
	cow->withdrawn = false;
	if (!cow->passing)
		cow->env->abandon(cow, error);
}
EXPORT_SYMBOL_GPL(cow_apart_leave);

int cow_apart_end(struct cow *cow, int error)
{
	int r = 0;

	/* Withdrawn, it is not there, durably. */
	if (!cow->unlogged && !cow->withdrawn)
		end_log(cow, &r);
	/* Only now: until then the log was to be true. */
	cow_apart_leave(cow, error);
	return r;
}
EXPORT_SYMBOL_GPL(cow_apart_end);

/* ---- while nobody knows who writes to the origin next --------------------- */

int cow_apart_withdraw(struct cow *cow)
{
	struct cow_io *io = cow->io;
	int r;

	if (cow->unlogged || cow->withdrawn)
		return 0;
	r = cow_read(io, 0, cow->buf, io->atomic_sectors);
	if (!r)
		r = cow_log_erase(&cow->log, io);
	if (r)
		cow_apart_end(cow, -EIO);
	cow->withdrawn = !r;
	return r;
}
EXPORT_SYMBOL_GPL(cow_apart_withdraw);

int cow_apart_reinstate(struct cow *cow)
{
	struct cow_io *io = cow->io;
	int r;

	if (!cow->withdrawn)
		return 0;
	cow->withdrawn = false;
	r = cow_write(io, 0, cow->buf, io->atomic_sectors);
	/* Before anything is written to the origin. */
	if (!r)
		r = cow_flush(io);
	if (r)
		cow_apart_end(cow, -EIO);
	return r;
}
EXPORT_SYMBOL_GPL(cow_apart_reinstate);

static void run_end(struct cow *cow, struct cow_exclusive *self)
{
	(void)self;
	/* Somebody else may have ended it meanwhile. */
	if (cow->end_error)
		cow_apart_end(cow, cow->end_error);
}

void cow_lose(struct cow *cow, int error)
{
	if (cow->unlogged) {
		/* Of the copies of a group each may fail: the first one is all it takes. */
		if (!cow->passing)
			cow->env->abandon(cow, error);
		return;
	}
	/* What has been gathered is not written any more... */
	cow->failed = true;
	if (cow->end_error)
		return;
	/* ...and the gate is shut until this has run. */
	cow->end_error = error;
	cow->end.run = run_end;
	cow_run_exclusive(cow, &cow->end);
}
EXPORT_SYMBOL_GPL(cow_lose);
