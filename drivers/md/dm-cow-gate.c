// SPDX-License-Identifier: GPL-2.0-only
/*
 * The gate: what a write has to wait for, block by block.
 *
 *	LOOSE, CHANGED		nothing
 *	FREE			nothing; it becomes LOOSE
 *	PROTECTED, being copied	the group that copies it
 *	PROTECTED, being written to by us
 *				the group that does so; then it is looked at again
 *	PROTECTED, slot 1, seal or live copy
 *				a move
 *	PROTECTED		a copy of its own
 */
#include "dm-cow.h"

static struct list_head *bucket(struct cow *cow, u64 block)
{
	return &cow->busy[(block >> COW_RUN_SHIFT) % COW_BUSY_BUCKETS];
}

void cow_busy_add(struct cow *cow, struct cow_busy *busy)
{
	list_add_tail(&busy->node, bucket(cow, busy->start));
}

/*
 * The first busy run that touches [block, end); a run lies in one zone of
 * 2^COW_RUN_SHIFT blocks, so one bucket after the other is looked through.
 */
struct cow_busy *cow_busy_find(struct cow *cow, u64 block, u64 end)
{
	while (block < end) {
		u64 zone_end = ((block >> COW_RUN_SHIFT) + 1) << COW_RUN_SHIFT;
		struct cow_busy *busy, *first = NULL;

		list_for_each_entry(busy, bucket(cow, block), node)
			if (busy->start < min(end, zone_end) &&
			    busy->start + busy->nr > block &&
			    (!first || busy->start < first->start))
				first = busy;
		if (first)
			return first;
		block = zone_end;
	}
	return NULL;
}

/* Cut a run where its zone ends, so that each part is in one bucket. */
static void op_set_busy(struct cow_op *op, struct cow_busy parts[2], u64 start,
			u64 len, bool is_source)
{
	u64 zone_end = ((start >> COW_RUN_SHIFT) + 1) << COW_RUN_SHIFT;
	u64 first = min_t(u64, len, zone_end - start);
	u64 nr[2] = { first, len - first };
	int i;

	for (i = 0; i < 2; i++) {
		parts[i] = (struct cow_busy) {
			.start = start + (i ? first : 0),
			.nr = nr[i],
			.op = op,
			.group = op->group,
			.is_source = is_source,
		};
		INIT_LIST_HEAD(&parts[i].node);
		if (nr[i])
			cow_busy_add(op->cow, &parts[i]);
	}
}

/* How many more records may the gathering group take? */
static u32 room_left(struct cow *cow)
{
	u32 room, used = cow->gathering->nr_ops + cow->nr_voids;

	if (cow->unlogged)
		return 1;
	room = cow_make_room(cow);
	return room > used ? room - used : 0;
}

static bool log_is_full(const struct cow *cow)
{
	return !cow_log_room(&cow->log);
}

static void check_low_water(struct cow *cow)
{
	if (cow->apart || cow->low || cow_map_nr_free(&cow->map) >= READ_ONCE(cow->low_water))
		return;
	cow->low = true;
	cow->env->event(cow, COW_EVENT_LOW_WATER);
}

/* How much of @nr blocks is there space for? At least for what is needed. */
static u64 space_for(const struct cow *cow, u64 nr)
{
	u64 free;

	if (cow->apart)
		return nr;
	free = cow_map_nr_free(&cow->map);
	return free > COW_RESERVE_BLOCKS ? min(nr, free - COW_RESERVE_BLOCKS) : 0;
}

static u64 take_run(struct cow *cow, u64 nr, u64 *dest)
{
	return cow->apart ? cow->env->take(cow, nr, dest) :
			    cow_alloc_run(&cow->alloc, &cow->map, nr, dest);
}

/*
 * Begin a copy of up to @nr PROTECTED blocks, of which @wanted are asked for. Returns
 * how many it covers, -EAGAIN if a group must end first, -ENOSPC.
 */
static int add_op(struct cow *cow, u64 block, u64 nr, u64 wanted)
{
	struct cow_group *group = cow->gathering;
	struct cow_op *op;
	u64 dest;

	if (!room_left(cow)) {
		if (log_is_full(cow))
			return -ENOSPC;
		cow->voids_first = !group->nr_ops;
		return -EAGAIN;
	}
	/* The group that was in flight has recorded them, if that was ever said. */
	cow->voids_first = false;
	nr = space_for(cow, nr);
	if (!nr)
		return -ENOSPC;
	op = cow->env->op_alloc(cow, nr);
	if (!op)
		return -EAGAIN;
	op->cow = cow;
	nr = take_run(cow, nr, &dest);
	if (!nr) {
		cow->env->op_free(op);
		return -ENOSPC;
	}
	op->group = group;
	op->source = block;
	op->dest = dest;
	op->nr = nr;
	op->ahead = nr > wanted ? nr - wanted : 0;
	op->sectors = cow_run_sectors(&cow->geo, block, nr);
	op->read_error = 0;
	op->write_error = 0;
	op->reading = true;
	op->writing = true;
	op->fua = false;
	op_set_busy(op, op->source_busy, block, nr, true);
	op_set_busy(op, op->dest_busy, dest, cow->apart ? 0 : nr, false);
	list_add_tail(&op->node, &group->ops);
	group->nr_ops++;
	group->reading++;
	group->writing++;
	check_low_water(cow);
	cow_ahead_copied(cow, block, nr);
	cow->env->op_start(op);
	return nr;
}

/* Longest run from @block on that one copy can take. */
static u64 copy_run(struct cow *cow, u64 block, u64 end)
{
	u64 max_blocks = COW_MAX_RUN_SECTORS >> cow->geo.block_shift;
	struct cow_busy *busy;

	end = min(end, block + max_blocks);
	end = cow_map_next_not(&cow->map, block, end, COW_PROTECTED);
	end = cow_next_place(cow, block, end);
	busy = cow_busy_find(cow, block, end);
	return (busy ? busy->start : end) - block;
}

static void no_space(struct cow *cow, struct cow_waiter *waiter)
{
	enum cow_on_full on_full = READ_ONCE(cow->on_full);

	if (cow->apart) {
		list_add(&waiter->node, &cow->deferred);
		cow_lose(cow, -ENOSPC);
		return;
	}
	if (!cow->full)
		cow->env->event(cow, COW_EVENT_FULL);
	cow->full = true;
	if (on_full == COW_FULL_COMMIT && !cow->failed) {
		list_add(&waiter->node, &cow->deferred);
		cow->env->give_up(cow);
	} else if (on_full == COW_FULL_HOLD && cow->holding) {
		list_add_tail(&waiter->node, &cow->held);
	} else if (on_full == COW_FULL_HOLD && cow->hold_error) {
		/* It came after those that were held had been let go. */
		cow->env->release(cow, waiter, cow->hold_error);
	} else {
		cow->env->release(cow, waiter, -ENOSPC);
	}
}

static void move_run(struct cow *cow, struct cow_exclusive *self)
{
	struct cow_waiter *waiter = cow->move_waiter;
	u64 block = cow->move_block;
	int r = 0;

	(void)self;
	cow->move_waiter = NULL;
	/* The last group before us may have sealed a page there: look again. */
	if (cow_next_place(cow, block, block + 1) == block)
		r = cow_move_place(cow, block);
	if (r == -ENOSPC)
		no_space(cow, waiter);
	else if (r)
		cow->env->release(cow, waiter, r);
	else
		list_add(&waiter->node, &cow->deferred);
}

static void want_move(struct cow *cow, struct cow_waiter *waiter, u64 block)
{
	cow->move_waiter = waiter;
	cow->move_block = block;
	cow->move.run = move_run;
	cow_run_exclusive(cow, &cow->move);
}

/* What one stretch of a write has to wait for. */
struct stretch {
	u64 block;			/* in: where it begins; out: where the next does */
	struct cow_group *group;	/* the youngest group waited for so far */
};

static void wait_for(struct cow *cow, struct stretch *stretch,
		     struct cow_group *group)
{
	if (!stretch->group || group == cow->gathering)
		stretch->group = group;
}

/* 0, or -EAGAIN, -ENOSPC, or -EXDEV for a place that must be moved first. */
static int look_at_stretch(struct cow *cow, struct stretch *stretch, u64 end)
{
	u64 block = stretch->block;
	struct cow_busy *busy = cow_busy_find(cow, block, block + 1);
	int r;

	if (busy) {
		wait_for(cow, stretch, busy->group);
		stretch->block = min(end, busy->start + busy->nr);
		return 0;
	}
	if (cow_next_place(cow, block, block + 1) == block)
		return -EXDEV;
	r = add_op(cow, block, copy_run(cow, block, cow_ahead(cow, block, end)),
		   end - block);
	if (r < 0)
		return r;
	wait_for(cow, stretch, cow->gathering);
	stretch->block = min(end, block + r);
	return 0;
}

/* Begin or join whatever the write needs; @group is what it has to wait for. */
static int look_at_write(struct cow *cow, struct cow_waiter *waiter,
			 struct stretch *stretch)
{
	u64 end = waiter->last + 1;

	for (;;) {
		int r;

		cow_map_replace(&cow->map, stretch->block, end - stretch->block,
				COW_FREE, COW_LOOSE);
		stretch->block = cow_map_next_stop(&cow->map, stretch->block, end);
		if (stretch->block == end)
			return 0;
		if (cow->failed)
			return -EIO;
		r = look_at_stretch(cow, stretch, end);
		if (r)
			return r;
	}
}

/*
 * After a commit there is nothing to wait for, but what is live must be known.
 * With a store apart there may not even be a map any more.
 */
static void pass_write(struct cow *cow, struct cow_waiter *waiter)
{
	u64 nr = waiter->last + 1 - waiter->first;

	if (cow->apart) {
		cow->env->release(cow, waiter, 0);
		return;
	}
	cow_map_replace(&cow->map, waiter->first, nr, COW_FREE, COW_LOOSE);
	cow_map_replace(&cow->map, waiter->first, nr, COW_PROTECTED, COW_LOOSE);
	cow->env->release(cow, waiter, 0);
}

/* False if the write stays at the head of the queue. */
static bool gate_write(struct cow *cow, struct cow_waiter *waiter)
{
	struct stretch stretch = { .block = waiter->first };
	int r;

	if (cow->passing) {
		list_del(&waiter->node);
		pass_write(cow, waiter);
		return true;
	}
	r = look_at_write(cow, waiter, &stretch);
	if (r == -EAGAIN && !stretch.group)
		return false;
	list_del(&waiter->node);
	if (r == -EXDEV)
		want_move(cow, waiter, stretch.block);
	else if (r == -ENOSPC)
		no_space(cow, waiter);
	else if (!stretch.group || (r && r != -EAGAIN))
		cow->env->release(cow, waiter, r);
	else	/* -EAGAIN too: what was begun may fail, so it is not left alone */
		list_add_tail(&waiter->node, &stretch.group->waiters);
	return true;
}

bool cow_gate_turn(struct cow *cow)
{
	bool changed = false;

	while (list_empty(&cow->exclusives) && !list_empty(&cow->deferred)) {
		struct cow_waiter *waiter =
			list_first_entry(&cow->deferred, struct cow_waiter, node);

		/* Voids that fill the page: the group that records them may begin. */
		if (!gate_write(cow, waiter))
			return changed || (cow->voids_first && !cow->inflight);
		changed = true;
	}
	return changed;
}

void cow_write_arrived(struct cow *cow, struct cow_waiter *waiter)
{
	waiter->tries = 0;
	list_add_tail(&waiter->node, &cow->deferred);
}
EXPORT_SYMBOL_GPL(cow_write_arrived);

void cow_release_held(struct cow *cow, int error)
{
	struct cow_waiter *waiter, *tmp;

	list_for_each_entry_safe(waiter, tmp, &cow->held, node) {
		list_del(&waiter->node);
		if (error)
			cow->env->release(cow, waiter, error);
		else
			list_add_tail(&waiter->node, &cow->deferred);
	}
}
EXPORT_SYMBOL_GPL(cow_release_held);
