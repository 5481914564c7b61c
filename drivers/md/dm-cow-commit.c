// SPDX-License-Identifier: GPL-2.0-only
/*
 * Group commit: { backups, sealed page, tail page } in parallel, one flush,
 * then the waiting writes are let go. One group is in flight, the next gathers.
 *
 * A group of one or two copies is written with FUA instead, if the device has that:
 * it need not write all else that is in its cache as well. What a backup is written
 * with is said before it is known what will be in its group; one that is in the cache
 * is enough to want the flush. So is one that has failed: its place may be the source of
 * a later copy, and what that reads must be what a power cut leaves.
 *
 * A record carries the checksum of its data, so it may reach the disk before the
 * data does: after a cut a record without its data was never acted upon.
 */
#include "dm-cow.h"

static void fail_waiters(struct cow *cow, struct list_head *waiters, int error)
{
	struct cow_waiter *waiter, *tmp;

	list_for_each_entry_safe(waiter, tmp, waiters, node) {
		list_del(&waiter->node);
		cow->env->release(cow, waiter, error);
	}
}

void cow_fail_log(struct cow *cow)
{
	if (cow->apart) {
		cow_lose(cow, -EIO);
		return;
	}
	cow->failed = true;
	cow->env->event(cow, COW_EVENT_FAILED);
	/* There will never be space for them: each gets its error now. */
	cow_release_held(cow, 0);
}
EXPORT_SYMBOL_GPL(cow_fail_log);

#define FUA_OPS 2

/* ---- completions -------------------------------------------------------- */

/* As few as there were last time, or a flush will be needed anyway. */
static bool worth_fua(const struct cow *cow, const struct cow_group *group)
{
	return cow->fua && !cow->unlogged && cow->last_ops <= FUA_OPS &&
	       group->nr_ops <= FUA_OPS;
}

void cow_op_has_data(struct cow_op *op)
{
	op->fua = worth_fua(op->cow, op->group);
}
EXPORT_SYMBOL_GPL(cow_op_has_data);

void cow_op_read_done(struct cow_op *op, u32 crc, int error)
{
	op->crc = crc;
	op->read_error = error;
	op->reading = false;
	op->group->reading--;
	if (!error)
		return;
	op->group->writing--;
	op->writing = false;
}
EXPORT_SYMBOL_GPL(cow_op_read_done);

void cow_op_write_done(struct cow_op *op, int error)
{
	op->write_error = error;
	op->writing = false;
	op->group->writing--;
}
EXPORT_SYMBOL_GPL(cow_op_write_done);

void cow_page_written(struct cow *cow, int error)
{
	cow->inflight->writing--;
	if (error)
		cow->inflight->error = error;
}
EXPORT_SYMBOL_GPL(cow_page_written);

void cow_flush_done(struct cow *cow, int error)
{
	cow->inflight->flushed = true;
	if (error)
		cow->inflight->error = error;
}
EXPORT_SYMBOL_GPL(cow_flush_done);

/* ---- closing a group ---------------------------------------------------- */

static struct cow_record op_record(const struct cow *cow, const struct cow_op *op)
{
	return (struct cow_record) {
		.kind = COW_RECORD_BACKUP,
		.source = cow_source_sector(cow, op->source),
		.dest = cow_block_to_sector(&cow->geo, op->dest),
		.sectors = op->sectors,
		.crc = op->crc,
	};
}

static void op_join(struct cow_op *op, struct cow_group *group)
{
	int i;

	op->group = group;
	for (i = 0; i < 2; i++) {
		op->source_busy[i].group = group;
		op->dest_busy[i].group = group;
	}
}

/* To the next group, as if it came later. */
static void hand_over(struct cow_op *op, struct cow_group *from,
		      struct cow_group *to)
{
	list_del(&op->node);
	list_add_tail(&op->node, &to->ops);
	op_join(op, to);
	from->nr_ops--;
	to->nr_ops++;
	from->reading -= op->reading;
	to->reading += op->reading;
	from->writing -= op->writing;
	to->writing += op->writing;
}

static void hand_over_unread(struct cow_group *from, struct cow_group *to)
{
	struct cow_op *op, *tmp;

	list_for_each_entry_safe(op, tmp, &from->ops, node)
		if (op->reading)
			hand_over(op, from, to);
}

static void record_voids(struct cow *cow, struct cow_group *group, u32 room)
{
	u32 i;

	group->nr_voids = min(room, cow->nr_voids);
	for (i = 0; i < group->nr_voids; i++)
		cow_log_add(&cow->log, &cow->voids[i]);
}

static void record_ops(struct cow *cow, struct cow_group *group,
		       struct cow_group *next, u32 room)
{
	struct cow_op *op, *tmp;

	list_for_each_entry_safe(op, tmp, &group->ops, node) {
		struct cow_record record = op_record(cow, op);

		if (op->read_error)
			continue;
		if (!room) {	/* beyond the end of the page */
			hand_over(op, group, next);
			continue;
		}
		cow_log_add(&cow->log, &record);
		room--;
	}
}

/* The page sealed by this group is written to until the group is durable. */
static void seal_busy(struct cow *cow, struct cow_group *group)
{
	group->seal_busy = (struct cow_busy) {
		.start = cow_sector_to_block(&cow->geo, cow->log.head.prev_place),
		.nr = 1,
		.group = group,
	};
	cow_busy_add(cow, &group->seal_busy);
}

static bool any_cached(const struct cow *cow, const struct cow_group *group)
{
	const struct cow_op *op;

	if (!cow->fua)
		return true;
	list_for_each_entry(op, &group->ops, node)
		if (!op->read_error && !op->fua)
			return true;
	return false;
}

static void write_pages(struct cow *cow, struct cow_group *group)
{
	struct cow_page_write writes[2];
	unsigned int i, nr = cow_log_stage(&cow->log, writes);

	group->cached = any_cached(cow, group);
	if (nr > 1) {
		if (!cow->apart)
			seal_busy(cow, group);
		cow->stats.log_blocks++;
	}
	group->writing += nr;
	for (i = 0; i < nr; i++) {
		writes[i].fua = !group->cached;
		cow->env->page_write(cow, i, &writes[i]);
	}
}

/*
 * The records of a group share a page: a full one is sealed first. False: there is no
 * place to do that. It was not full when the group gathered; voids have filled it since.
 */
static bool open_page(struct cow *cow)
{
	u64 seal = 0;

	if (!cow_make_room(cow))
		return false;
	if (cow_log_full(&cow->log) || !cow->log.head.seal)
		seal = cow_block_to_sector(&cow->geo, cow_take_block(cow));
	cow_log_begin(&cow->log, seal);
	return true;
}

static bool anything_to_record(const struct cow *cow,
			       const struct cow_group *group)
{
	const struct cow_op *op;

	if (cow->voids_first)
		return true;
	list_for_each_entry(op, &group->ops, node)
		if (!op->read_error)
			return true;
	return false;
}

static void no_more(struct cow *cow, struct cow_group *group)
{
	group->error = -EIO;
	cow->voids_first = false;
}

static void close_group(struct cow *cow)
{
	struct cow_group *group = cow->gathering;
	u32 room;

	cow->inflight = group;
	cow->gathering = &cow->groups[group == &cow->groups[0]];
	hand_over_unread(group, cow->gathering);
	group->stage = COW_WRITING;
	if (cow->failed) {	/* what the log holds now, nobody knows: no more */
		no_more(cow, group);
		return;
	}
	if (cow->unlogged)
		return;
	if (!anything_to_record(cow, group)) {
		group->stage = COW_FLUSHING;
		group->flushed = true;
		return;
	}
	if (!open_page(cow)) {
		cow_fail_log(cow);
		no_more(cow, group);
		return;
	}
	room = COW_PAGE_RECORDS - cow->log.head.record_count;
	record_voids(cow, group, room);
	record_ops(cow, group, cow->gathering, room - group->nr_voids);
	group->logged = true;
	cow->voids_first = false;
	write_pages(cow, group);
}

/* ---- a group is durable, or has failed ---------------------------------- */

static bool overlaps(const struct cow_op *op, const struct cow_waiter *waiter)
{
	return waiter->first < op->source + op->nr && waiter->last >= op->source;
}

/* Writes wait for groups, not for copies: find those that needed this one. */
static void fail_op_waiters(struct cow *cow, struct cow_group *group,
			    const struct cow_op *op)
{
	struct cow_waiter *waiter, *tmp;

	list_for_each_entry_safe(waiter, tmp, &group->waiters, node) {
		if (!overlaps(op, waiter))
			continue;
		if (!op->read_error && ++waiter->tries < COW_BACKUP_TRIES)
			continue;
		list_del(&waiter->node);
		cow->env->release(cow, waiter, -EIO);
	}
}

/*
 * The record of a backup that could not be written must be cancelled. Its
 * destination stays PROTECTED for good: the disk is bad there.
 */
static void void_op(struct cow *cow, const struct cow_op *op)
{
	struct cow_record record = op_record(cow, op);

	if (cow->nr_voids < COW_PAGE_RECORDS)
		cow->voids[cow->nr_voids++] = cow_void_of(&record);
	else
		cow_fail_log(cow);
	cow->stats.voids++;
}

static void op_done(struct cow *cow, struct cow_group *group, struct cow_op *op)
{
	if (group->error)
		return;	/* the record may or may not be there: leave all as it is */
	if (op->ahead && op->read_error) {
		/* Not to be held against those who wait: they try alone. */
		cow->ahead_failed = true;
		if (!cow->apart)
			cow_map_set(&cow->map, op->dest, op->nr, COW_FREE);
	} else if (cow->apart && (op->read_error || op->write_error)) {
		/* What was to be kept is lost; those who wait need not know. */
		cow_lose(cow, -EIO);
	} else if (op->read_error) {
		cow_map_set(&cow->map, op->dest, op->nr, COW_FREE);
		fail_op_waiters(cow, group, op);
	} else if (op->write_error) {
		void_op(cow, op);
		fail_op_waiters(cow, group, op);
	} else {
		u64 ours = cow_count_was_free(cow, op->source, op->nr);

		/* Pairs with cow_map_passes(): the flush is behind us. */
		cow_map_set(&cow->map, op->source, op->nr, COW_CHANGED);
		cow->stats.copies++;
		cow->stats.copied_blocks += op->nr;
		cow->stats.ahead_blocks += op->ahead;
		cow->stats.collisions += ours;
		cow->stats.backup += op->nr - ours;
		cow->stats.changed += op->nr;
	}
}

static void free_op(struct cow *cow, struct cow_op *op)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (op->source_busy[i].nr)
			list_del(&op->source_busy[i].node);
		if (op->dest_busy[i].nr)
			list_del(&op->dest_busy[i].node);
	}
	list_del(&op->node);
	cow->env->op_free(op);
}

static void drop_recorded_voids(struct cow *cow, u32 nr)
{
	cow->nr_voids -= nr;
	memmove(cow->voids, cow->voids + nr, cow->nr_voids * sizeof(cow->voids[0]));
}

static void group_reset(struct cow_group *group)
{
	INIT_LIST_HEAD(&group->ops);
	INIT_LIST_HEAD(&group->waiters);
	group->stage = COW_GATHERING;
	group->nr_ops = 0;
	group->reading = 0;
	group->writing = 0;
	group->flushed = false;
	group->logged = false;
	group->cached = false;
	group->error = 0;
	group->nr_voids = 0;
	group->seal_busy.nr = 0;
}

static void settle_log(struct cow *cow, struct cow_group *group)
{
	if (group->error) {
		cow_fail_log(cow);
		return;
	}
	cow_log_settle(&cow->log);
	drop_recorded_voids(cow, group->nr_voids);
	cow->stats.groups++;
}

/* Waiting writes are looked at again, before those that came later. */
static void requeue_waiters(struct cow *cow, struct cow_group *group)
{
	list_splice_tail_init(&cow->deferred, &group->waiters);
	list_splice_tail_init(&group->waiters, &cow->deferred);
}

static void finish_group(struct cow *cow)
{
	struct cow_group *group = cow->inflight;
	struct cow_op *op, *tmp;

	if (group->logged)
		settle_log(cow, group);
	if (group->seal_busy.nr)
		list_del(&group->seal_busy.node);
	list_for_each_entry_safe(op, tmp, &group->ops, node) {
		op_done(cow, group, op);
		free_op(cow, op);
	}
	/* With a store they pass, once nothing says any more that they must not. */
	if (group->error && !cow->apart)
		fail_waiters(cow, &group->waiters, -EIO);
	requeue_waiters(cow, group);
	cow->last_ops = group->nr_ops;
	group_reset(group);
	cow->inflight = NULL;
}

static bool wants_flush(const struct cow *cow, const struct cow_group *group)
{
	const struct cow_op *op;

	if (cow->unlogged || group->cached)
		return group->cached;
	list_for_each_entry(op, &group->ops, node)
		if (op->write_error)
			return true;
	return false;
}

static void flush_group(struct cow *cow)
{
	struct cow_group *group = cow->inflight;

	group->stage = COW_FLUSHING;
	if (group->error || !wants_flush(cow, group)) {
		group->flushed = true;
		return;
	}
	/* Backups and pages before the writes that wait for them. */
	cow->stats.flushes++;
	cow->env->flush(cow);
}

/*
 * Who looks for old contents finds the copies from now on; who looked before may
 * still read the sources, which are not to be written to until that has ended.
 */
static void drain_group(struct cow *cow)
{
	struct cow_group *group = cow->inflight;
	struct cow_op *op;

	group->stage = COW_DRAINING;
	if (!cow->apart || group->error)
		return;
	list_for_each_entry(op, &group->ops, node)
		if (!op->read_error && !op->write_error && cow->env->keep(cow, op))
			cow_lose(cow, -ENOMEM);
	cow->readers_now ^= 1;
}

/* One group at a time drains, so those of before have an index of their own. */
static bool drained(const struct cow *cow)
{
	return !atomic_read(&cow->readers[cow->readers_now ^ 1]);
}

/* Who cannot go on before this group is durable does not wait for others. */
static bool nothing_presses(const struct cow *cow)
{
	return !cow->unlogged && !cow->failed && !cow->passing && !cow->voids_first &&
	       list_empty(&cow->deferred) && list_empty(&cow->exclusives);
}

static bool may_close(struct cow *cow)
{
	const struct cow_group *group = cow->gathering;
	u32 ready = group->nr_ops - group->reading;

	if (!ready && !cow->voids_first)
		return false;
	if (!group->reading && !nothing_presses(cow))
		return true;
	return !cow->env->linger(cow, ready, group->reading);
}

bool cow_commit_turn(struct cow *cow)
{
	struct cow_group *group = cow->inflight;

	if (!group) {
		if (!may_close(cow))
			return false;
		close_group(cow);
		return true;
	}
	if (group->stage == COW_WRITING && !group->writing) {
		flush_group(cow);
		return true;
	}
	if (group->stage == COW_FLUSHING && group->flushed) {
		drain_group(cow);
		return true;
	}
	if (group->stage == COW_DRAINING && drained(cow)) {
		finish_group(cow);
		return true;
	}
	return false;
}

void cow_commit_init(struct cow *cow)
{
	group_reset(&cow->groups[0]);
	group_reset(&cow->groups[1]);
	cow->gathering = &cow->groups[0];
	cow->inflight = NULL;
}
