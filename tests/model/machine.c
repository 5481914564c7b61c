// SPDX-License-Identifier: GPL-2.0-only
/*
 * The surroundings of the core: its asynchronous operations, carried out in
 * random order.
 */
#include "model.h"

struct mop {
	struct cow_op op;
	u8 *buf;
	const struct cow_group *group;	/* that it was begun for */
};

static struct sim *to_sim(struct cow *cow)
{
	return container_of(cow, struct sim, cow);
}

struct task *machine_add_task(struct sim *sim, enum task_kind kind)
{
	struct task *task = &sim->tasks[sim->nr_tasks++];

	if (sim->nr_tasks == MAX_TASKS)
		fail("too many operations in flight");
	memset(task, 0, sizeof(*task));
	task->kind = kind;
	return task;
}

void machine_redirect(const struct sim *sim, struct redirect *redirect)
{
	memset(redirect, 0, sizeof(*redirect));
	if (sim->engine && !sim->cow.passing)
		redirect_set(redirect, &sim->cow.log.head);
}

static void release(struct cow *cow, struct cow_waiter *waiter, int error)
{
	struct sim *sim = to_sim(cow);

	if (error && error != -ENOSPC && !sim->disk.dead &&
	    (error != -EIO || !(sim->errors_seen || sim->suspended)))
		fail("a write ends with %d though the disk is sound", error);
	if (sim->stuck && !error && !cow->passing)
		fail("a write waited, and is let go in state failed");
	stats.stuck_refused += sim->stuck && error;
	if (error == -ENOSPC) {
		stats.no_space++;
		if (cow_map_nr_free(&cow->map) > COW_RESERVE_BLOCKS &&
		    !sim->errors_seen && !sim->disk.dead)
			fail("no space, yet %llu blocks are free",
			     (unsigned long long)cow_map_nr_free(&cow->map));
	}
	user_released(sim, container_of(waiter, struct uwrite, waiter), error);
}

/* ---- asynchronous operations of the core --------------------------------- */

static struct cow_op *op_alloc(struct cow *cow, u32 nr)
{
	struct sim *sim = to_sim(cow);
	struct mop *mop;

	if (sim->ops_out && (sim->ops_out >= sim->max_ops || chance(&sim->rng, 5)))
		return NULL;
	sim->ops_out++;
	mop = model_alloc(sizeof(*mop));
	mop->buf = model_alloc((size_t)nr * sim->block_sectors * SECTOR);
	return &mop->op;
}

static void op_free(struct cow_op *op)
{
	struct mop *mop = container_of(op, struct mop, op);
	struct sim *sim = current;
	u32 i;

	for (i = 0; i < sim->nr_tasks; i++)
		if (sim->tasks[i].op == op)
			fail("an operation is freed while it is in flight");
	stats.handed_over += mop->group && op->group != mop->group;
	sim->ops_out--;
	free(mop->buf);
	free(mop);
}

/* Does the copy leave a part of this backup's run where it is? */
static bool splits_run(const struct sim *sim, const struct cow_op *op, u64 block)
{
	u64 at, end = op->source + op->nr;

	for (at = sim->run_start[block]; at < sim->nr_blocks; at++) {
		if (sim->role[at] != ROLE_BACKUP ||
		    sim->run_start[at] != sim->run_start[block])
			break;
		if (at < op->source || at >= end)
			return true;
	}
	return false;
}

static void note_moved(struct sim *sim, const struct cow_op *op)
{
	bool run = false, part = false;
	u64 i;

	for (i = op->source; i < op->source + op->nr; i++) {
		stats.moves_backup += sim->role[i] == ROLE_BACKUP;
		stats.moves_page += sim->role[i] == ROLE_PAGE;
		if (sim->role[i] != ROLE_BACKUP)
			continue;
		run = true;
		part |= splits_run(sim, op, i);
	}
	stats.moves_run += run && op->nr > 1;
	stats.moves_part += part;
}

static void note_roles(struct sim *sim, const struct cow_op *op)
{
	u64 i;

	note_moved(sim, op);
	for (i = op->source; i < op->source + op->nr; i++)
		sim->role[i] = ROLE_NONE;
	for (i = op->dest; i < op->dest + op->nr; i++) {
		sim->role[i] = ROLE_BACKUP;
		sim->run_start[i] = (u32)op->dest;
	}
}

static void count_copy(const struct sim *sim, const struct cow_op *op)
{
	stats.copies++;
	stats.copies_run += op->nr > 1;
	stats.copies_ahead += !!op->ahead;
	stats.copies_behind += !!sim->cow.inflight;
	stats.copies_short += op->source + op->nr == sim->nr_blocks &&
			      sim->sectors % sim->block_sectors;
}

/* What is in the log, nobody knows: it is not to be made worse. */
static void check_sound(const struct cow *cow, const char *what)
{
	if (cow->failed)
		fail("%s though the log has failed", what);
}

static void op_start(struct cow_op *op)
{
	struct sim *sim = to_sim(op->cow);
	u64 i;

	check_sound(op->cow, "a copy is begun");
	TRACE("  copy %llu+%u to %llu", (unsigned long long)op->source, op->nr,
	      (unsigned long long)op->dest);
	if (op->dest + op->nr > sim->nr_blocks ||
	    (op->dest + op->nr) * sim->block_sectors > sim->sectors)
		fail("copy to the short last block");
	if (cow_map_nr_free(&sim->cow.map) < COW_RESERVE_BLOCKS)
		fail("a copy takes what is kept for the log");
	for (i = op->dest; i < op->dest + op->nr; i++)
		if (!sim->was_free[i])
			fail("copy to block %llu, which was not free",
			     (unsigned long long)i);
	note_roles(sim, op);
	count_copy(sim, op);
	container_of(op, struct mop, op)->group = op->group;
	machine_add_task(sim, TASK_READ)->op = op;
}

static void page_write(struct cow *cow, unsigned int index,
		       const struct cow_page_write *write)
{
	struct sim *sim = to_sim(cow);
	struct task *task;

	check_sound(cow, "a page is written");
	TRACE("  page %u to %llu: seq %llu gen %llu, %u records", index,
	      (unsigned long long)write->sector,
	      (unsigned long long)write->page->header.sequence,
	      (unsigned long long)write->page->header.generation,
	      (unsigned int)write->page->header.record_count);
	if (index) {
		sim->role[write->sector / sim->block_sectors] = ROLE_PAGE;
		stats.rollovers++;
	}
	task = machine_add_task(sim, TASK_PAGE);
	task->page = write->page;
	task->dw = disk_issue(&sim->disk, write->sector, COW_PAGE_SECTORS,
			      write->page, NO_LIVE);
	if (task->dw)
		task->dw->fua = write->fua;
	stats.fua_pages += write->fua;
	judge_event(sim);
}

static void flush(struct cow *cow)
{
	struct sim *sim = to_sim(cow);

	check_sound(cow, "a flush is sent");
	TRACE("  flush issued");
	machine_add_task(sim, TASK_FLUSH)->order = sim->disk.order;
}

/* Somebody must call again: the end of what is in flight, here. */
static bool linger(struct cow *cow, u32 ready, u32 reading)
{
	struct sim *sim = to_sim(cow);

	(void)ready;
	if (reading ? chance(&sim->rng, 40) : !sim->nr_tasks || !chance(&sim->rng, 30))
		return false;
	stats.lingers += !reading;
	return true;
}

static void hide_hold(struct cow *cow, u32 index)
{
	struct sim *sim = to_sim(cow);

	check_sound(cow, "a live copy is moved");
	TRACE("  hold hidden %u", index);
	user_drain_hidden(sim, index);
	sim->held[index] = true;
	stats.moves_live++;
}

static void hide_release(struct cow *cow, u32 index)
{
	struct sim *sim = to_sim(cow);

	TRACE("  release hidden %u", index);
	sim->held[index] = false;
	/* Its header may or may not be there: no place is right any more. */
	if (cow->failed)
		sim->lost[index] = true;
}

/*
 * The mark of an attempt that failed later on is not written again; that of one
 * that failed before may be there.
 */
static void expect_intent(struct sim *sim)
{
	if (sim->phase == PHASE_COMMITTING && !sim->intent_flushes)
		return;
	sim->phase = PHASE_COMMITTING;
	sim->intent_flushes = sim->disk.flushes + 1;
}

static void commit_failed(struct sim *sim, int r)
{
	if (r != -EIO || !(sim->errors_seen || sim->disk.dead))
		fail("commit: %d", r);
	stats.commit_errors++;
	stats.stuck_commit_errors += sim->stuck;
	sim->intent_flushes = sim->disk.flushes >= sim->intent_flushes ? 0 : ~0ULL;
	sim->cow.failed = true;
	memset(sim->lost, 1, sizeof(sim->lost));
}

static void committed(struct sim *sim)
{
	stats.commits++;
	stats.stuck_commits += sim->stuck;
	sim->stuck = false;
	sim->cow.passing = true;
	sim->cow.failed = false;
	sim->phase = PHASE_PLAIN;
	memset(sim->lost, 0, sizeof(sim->lost));
}

static void end_checkpoint(struct sim *sim)
{
	struct cow *cow = &sim->cow;
	u32 i;
	int r;

	TRACE("live commit");
	for (i = 0; i < cow->log.head.hidden_count; i++) {
		user_drain_hidden(sim, i);
		sim->held[i] = true;
	}
	expect_intent(sim);
	if (!sim->no_errors && chance(&sim->rng, sim->stuck ? 50 : 5))
		disk_lose(&sim->disk, 12);
	sim->committing = true;
	r = cow_commit(&cow->log, &cow->geo, cow->io, cow->buf);
	sim->committing = false;
	sim->disk.bad_nr = 0;
	TRACE("live commit: %d", r);
	memset(sim->held, 0, sizeof(sim->held));
	if (r)
		commit_failed(sim, r);
	else
		committed(sim);
}

/*
 * In a checkpoint whose log has failed, memory may be ahead of the disk. In
 * state failed it is not.
 */
static void commit_run(struct cow *cow, struct cow_exclusive *self)
{
	struct sim *sim = to_sim(cow);

	(void)self;
	sim->commit_queued = false;
	if (sim->disk.dead)	/* or who ran out of space would ask for ever */
		cow->failed = true;
	else if (cow->failed && !sim->stuck)
		stats.commits_refused++;
	else
		end_checkpoint(sim);
}

static void queue_commit(struct sim *sim)
{
	if (sim->commit_queued)
		return;
	sim->commit_queued = true;
	sim->commit.run = commit_run;
	cow_run_exclusive(&sim->cow, &sim->commit);
}

static void give_up(struct cow *cow)
{
	stats.give_ups++;
	queue_commit(to_sim(cow));
}

static void event(struct cow *cow, enum cow_event what)
{
	if (what == COW_EVENT_FAILED) {
		TRACE("  the log has failed");
		stats.log_failures++;
		if (!to_sim(cow)->errors_seen && !to_sim(cow)->disk.dead)
			fail("the log fails though the disk is sound");
	}
}

static const struct cow_env_ops env_ops = {
	.op_alloc = op_alloc,
	.op_free = op_free,
	.op_start = op_start,
	.page_write = page_write,
	.flush = flush,
	.linger = linger,
	.release = release,
	.hide_hold = hide_hold,
	.hide_release = hide_release,
	.give_up = give_up,
	.event = event,
};

static void run_read(struct sim *sim, struct task *task)
{
	struct cow_op *op = task->op;
	struct mop *mop = container_of(op, struct mop, op);
	u64 sector = cow_block_to_sector(&op->cow->geo, op->source);
	struct task *next;

	if (sim->disk.dead || disk_error(&sim->disk, ERROR_READ)) {
		TRACE("read %llu fails", (unsigned long long)op->source);
		cow_op_read_done(op, 0, -EIO);
		return;
	}
	memcpy(mop->buf, sim->disk.view + sector * SECTOR, op->sectors * SECTOR);
	TRACE("read %llu done", (unsigned long long)op->source);
	cow_op_has_data(op);
	machine_add_task(sim, TASK_SUM)->op = op;
	next = machine_add_task(sim, TASK_WRITE);
	next->op = op;
	next->dw = disk_issue(&sim->disk, cow_block_to_sector(&op->cow->geo, op->dest),
			      op->sectors, mop->buf, NO_LIVE);
	next->dw->fua = op->fua;
	stats.fua_backups += op->fua;
}

static void run_sum(struct task *task)
{
	struct mop *mop = container_of(task->op, struct mop, op);

	cow_op_read_done(task->op, cow_crc(mop->buf, task->op->sectors * SECTOR), 0);
}

/* The end of a write of ours: 0 or an error. */
static int end_dwrite(struct sim *sim, struct dwrite *dw, enum error_kind kind)
{
	if (sim->disk.dead)
		return -EIO;
	if (!disk_error(&sim->disk, kind)) {
		disk_complete(&sim->disk, dw);
		return 0;
	}
	TRACE("  ...with an error");
	disk_fail(&sim->disk, dw);
	return -EIO;
}

static void run_page(struct sim *sim, struct task *task)
{
	if (!task->dw) {
		cow_page_written(&sim->cow, -EIO);
		return;
	}
	TRACE("page at %llu written", (unsigned long long)task->dw->sector);
	if (memcmp(task->page, task->dw->data, COW_PAGE_SIZE))
		fail("a page changes while it is written");
	cow_page_written(&sim->cow, end_dwrite(sim, task->dw, ERROR_PAGE));
}

static void run_flush(struct sim *sim, struct task *task)
{
	TRACE("flush done");
	if (sim->disk.dead || disk_error(&sim->disk, ERROR_FLUSH)) {
		cow_flush_done(&sim->cow, -EIO);
		return;
	}
	disk_flush_upto(&sim->disk, task->order);
	cow_flush_done(&sim->cow, 0);
}

static void run_task(struct sim *sim, u32 index)
{
	struct task task = sim->tasks[index];
	int r;

	stats.events++;
	sim->sync_step = 0;
	if (task.kind == TASK_USER) {
		user_write_done(sim, index);
		return;
	}
	if (task.kind == TASK_LOOK) {
		user_read_done(sim, index);
		return;
	}
	sim->tasks[index] = sim->tasks[--sim->nr_tasks];
	switch (task.kind) {
	case TASK_READ:
		run_read(sim, &task);
		break;
	case TASK_SUM:
		run_sum(&task);
		break;
	case TASK_WRITE:
		TRACE("backup %llu written", (unsigned long long)task.op->dest);
		r = end_dwrite(sim, task.dw, ERROR_BACKUP);
		if (r)
			sim->bad_place = task.op->dest;
		cow_op_write_done(task.op, r);
		break;
	case TASK_PAGE:
		run_page(sim, &task);
		break;
	default:
		run_flush(sim, &task);
		break;
	}
	cow_turn(&sim->cow);
}

/* ---- time passes --------------------------------------------------------- */

static void note_moves(struct sim *sim)
{
	const struct cow_head *head = &sim->cow.log.head;

	if (!sim->engine)
		return;
	stats.moves_slot1 += head->slot1 != sim->last_slot1;
	sim->last_slot1 = head->slot1;
	stats.held += !list_empty(&sim->cow.held);
	if (sim->cow.stats.moves != sim->last_moves &&
	    head->sequence == sim->last_sequence && head->seal != sim->last_seal)
		stats.moves_seal++;
	sim->last_moves = sim->cow.stats.moves;
	sim->last_sequence = head->sequence;
	sim->last_seal = head->seal;
}

static void check_map(struct sim *sim)
{
	const struct cow_map *map = &sim->cow.map;
	u64 block, sector, last;

	for (block = cow_map_next(map, 0, sim->nr_blocks, COW_FREE);
	     block < sim->nr_blocks;
	     block = cow_map_next(map, block + 1, sim->nr_blocks, COW_FREE)) {
		sector = block * sim->block_sectors;
		last = min(sim->sectors, sector + sim->block_sectors);
		for (; sector < last; sector++)
			if (sim->live.known[sector])
				fail("block %llu is FREE, yet it is in use",
				     (unsigned long long)block);
	}
}

void machine_step(struct sim *sim)
{
	if (sim->ops_left && (!sim->nr_tasks || chance(&sim->rng, sim->write_percent)))
		user_write(sim, true);
	else if (sim->nr_tasks)
		run_task(sim, rnd(&sim->rng, sim->nr_tasks));
	if (sim->ops_left && chance(&sim->rng, 15))
		user_read(sim);
	if (sim->ops_left && chance(&sim->rng, 1) && !sim->disk.dead)
		user_discard(sim);
	if (chance(&sim->rng, 3) && !sim->disk.dead)
		disk_flush_upto(&sim->disk, sim->disk.order);	/* fsync */
	if (sim->engine) {
		cow_turn(&sim->cow);
		user_unpark(sim);
	}
	note_moves(sim);
	if (chance(&sim->rng, 5))
		check_map(sim);
	judge_event(sim);
}

void machine_drain(struct sim *sim)
{
	for (;;) {
		if (sim->engine)
			cow_turn(&sim->cow);
		user_unpark(sim);
		if (!sim->nr_tasks)
			break;
		run_task(sim, rnd(&sim->rng, sim->nr_tasks));
		note_moves(sim);
		judge_event(sim);
	}
	if (sim->engine && !cow_is_idle(&sim->cow))
		fail("the core is stuck");
	if (!sim->disk.dead)
		check_map(sim);
}

void machine_note_start(struct sim *sim)
{
	sim->last_slot1 = sim->cow.log.head.slot1;
	memset(sim->held, 0, sizeof(sim->held));
	memset(sim->lost, 0, sizeof(sim->lost));
	memset(sim->role, 0, sim->nr_blocks);
	if (sim->cow.log.head.prev_place)
		sim->role[sim->cow.log.head.prev_place / sim->block_sectors] = ROLE_PAGE;
	sim->engine = true;
	sim->stuck = false;
	sim->commit_queued = false;
	sim->cow.holding = true;
}

int machine_commit(struct sim *sim)
{
	queue_commit(sim);
	cow_turn(&sim->cow);
	return 0;
}

void machine_start(struct sim *sim)
{
	if (cow_init(&sim->cow, sim->sectors, sim->block_sectors, &sim->disk.io,
		     &env_ops))
		fail("cow_init");
	sim->cow.fua = chance(&sim->rng, sim->claims_bad ? 90 : 50);
	sim->have_cow = true;
	sim->engine = false;
	sim->stuck = false;
	sim->errors_seen = false;
	sim->sync_step = 0;
	memset(sim->discarded, 0, sizeof(sim->discarded));
	sim->bad_place = 0;
}

/* The machine is gone: let go of everything. */
void machine_stop(struct sim *sim)
{
	bool dead = sim->disk.dead;

	if (!sim->have_cow)
		return;
	stats.collisions += sim->cow.stats.collisions;
	stats.voids += sim->cow.stats.voids;
	sim->disk.dead = true;
	sim->ops_left = 0;
	if (sim->engine) {
		cow_release_held(&sim->cow, -EIO);
		sim->cow.holding = false;
	}
	while (sim->nr_tasks) {
		struct task *task = &sim->tasks[0];

		if (task->kind == TASK_USER)	/* stays where it is, on the disk */
			*task = sim->tasks[--sim->nr_tasks];
		else
			run_task(sim, 0);
	}
	if (sim->engine) {
		sim->cow.failed = true;
		cow_turn(&sim->cow);
		cow_release_held(&sim->cow, -EIO);
	}
	user_drop_all(sim);
	sim->disk.dead = dead;
	sim->engine = false;
	cow_exit(&sim->cow);
	sim->have_cow = false;
}
