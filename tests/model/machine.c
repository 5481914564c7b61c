// SPDX-License-Identifier: GPL-2.0-only
/*
 * The surroundings of the core: its asynchronous operations, carried out in
 * random order, and a filesystem that writes to whatever it likes.
 */
#include "model.h"

struct mop {
	struct cow_op op;
	u8 *buf;
};

static struct sim *to_sim(struct cow *cow)
{
	return container_of(cow, struct sim, cow);
}

static struct task *add_task(struct sim *sim, enum task_kind kind)
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

/* ---- writes -------------------------------------------------------------- */

static void drop_writer(struct sim *sim, struct uwrite *uw)
{
	struct uwrite **at = &sim->writers;

	while (*at != uw)
		at = &(*at)->next;
	*at = uw->next;
	sim->nr_writers--;
	free(uw);
}

static void send_write(struct sim *sim, struct uwrite *uw)
{
	struct redirect redirect;
	u8 *data = malloc(uw->nr * SECTOR);
	struct task *task;
	u64 at;
	u32 i;

	if (sim->disk.dead) {
		free(data);
		drop_writer(sim, uw);
		return;
	}
	machine_redirect(sim, &redirect);
	at = redirect_sector(&redirect, uw->sector);
	for (i = 0; i < uw->nr; i++)
		fill_sector(data + i * SECTOR, uw->tag ? uw->tag + i : 0);
	TRACE("  user write %llu+%u goes to %llu, tag %llx",
	      (unsigned long long)uw->sector, uw->nr, (unsigned long long)at,
	      (unsigned long long)uw->tag);
	task = add_task(sim, TASK_USER);
	task->uw = uw;
	task->dw = disk_issue(&sim->disk, at, uw->nr, data, uw->sector);
	free(data);
	judge_event(sim);
}

static void end_write(struct sim *sim, struct uwrite *uw, int error)
{
	TRACE("  user write %llu+%u fails: %d", (unsigned long long)uw->sector,
	      uw->nr, error);
	drop_writer(sim, uw);
}

static void release(struct cow *cow, struct cow_waiter *waiter, int error)
{
	struct sim *sim = to_sim(cow);
	struct uwrite *uw = container_of(waiter, struct uwrite, waiter);

	uw->arrived = false;
	if (!error) {
		send_write(sim, uw);
		return;
	}
	if (!sim->disk.dead && error != -ENOSPC && !sim->errors_seen &&
	    !sim->suspended)
		fail("a write ends with %d though the disk is sound", error);
	if (error == -ENOSPC) {
		stats.no_space++;
		if (cow_map_nr_free(&cow->map) > COW_RESERVE_BLOCKS &&
		    !sim->errors_seen && !sim->disk.dead)
			fail("no space, yet %llu blocks are free",
			     (unsigned long long)cow_map_nr_free(&cow->map));
	}
	end_write(sim, uw, error);
}

static bool passes(struct sim *sim, u64 first, u64 nr)
{
	struct cow_map *map = &sim->cow.map;

	if (cow_map_passes(map, first, nr))
		return true;
	cow_map_replace(map, first, nr, COW_FREE, COW_LOOSE);
	return cow_map_passes(map, first, nr);
}

static int hidden_index(const struct sim *sim, u64 block)
{
	const struct cow_head *head = &sim->cow.log.head;
	u32 i;

	if (!sim->engine || sim->cow.passing)
		return -1;
	for (i = 0; i < head->hidden_count; i++)
		if (cow_sector_to_block(&sim->cow.geo, head->hidden[i].source) == block)
			return (int)i;
	return -1;
}

/* What the target's map function does with a write. */
static void map_write(struct sim *sim, struct uwrite *uw, bool worker)
{
	struct cow_waiter *waiter = &uw->waiter;

	uw->hidden = hidden_index(sim, waiter->first);
	if (uw->hidden >= 0) {
		stats.hidden_writes++;
		if (sim->lost[uw->hidden])
			end_write(sim, uw, -EIO);
		else if (!sim->held[uw->hidden])
			send_write(sim, uw);
		return;
	}
	if (!sim->engine) {
		cow_map_replace(&sim->cow.map, waiter->first,
				waiter->last + 1 - waiter->first, COW_FREE,
				COW_PROTECTED);
		send_write(sim, uw);
	} else if (passes(sim, waiter->first, waiter->last + 1 - waiter->first)) {
		send_write(sim, uw);
	} else if (worker) {
		uw->arrived = true;
		cow_write_arrived(&sim->cow, waiter);
		cow_turn(&sim->cow);
	}
}

/* A block that somebody could be interested in. */
static u64 choose_block(struct sim *sim)
{
	const struct cow_head *head = &sim->cow.log.head;
	struct rng *rng = &sim->rng;
	u64 block = rnd(rng, sim->nr_blocks), i;

	if (!sim->engine)
		return block;
	switch (rnd(rng, 16)) {
	case 0:
		return head->slot1 / sim->block_sectors;
	case 1:
		return head->seal ? head->seal / sim->block_sectors : block;
	case 2:
		return head->prev_place / sim->block_sectors;
	case 3:
		return head->hidden[rnd(rng, max(1U, head->hidden_count))].live /
		       sim->block_sectors;
	case 4:
	case 5:
	case 6:
		for (i = 0; i < sim->nr_blocks; i++, block++)
			if (sim->role[block % sim->nr_blocks])
				return block % sim->nr_blocks;
		break;
	case 7:
		return head->hidden[rnd(rng, max(1U, head->hidden_count))].source /
		       sim->block_sectors;
	case 8:
		return sim->nr_blocks - 1;
	case 9:
		i = cow_map_next(&sim->cow.map, block, sim->nr_blocks, COW_FREE);
		return i < sim->nr_blocks ? i : block;
	case 10:
		return sim->hot;
	}
	return sim->hot = block % sim->nr_blocks;
}

static bool collides(const struct sim *sim, u64 sector, u32 nr)
{
	const struct uwrite *uw;

	for (uw = sim->writers; uw; uw = uw->next)
		if (sector < uw->sector + uw->nr && uw->sector < sector + nr)
			return true;
	return false;
}

/* Hidden blocks are written to alone: the target splits there. */
static u64 split(const struct sim *sim, u64 sector, u64 end)
{
	u64 block = sector / sim->block_sectors, last = (end - 1) / sim->block_sectors;
	u64 at;

	if (hidden_index(sim, block) >= 0)
		return min(end, (block + 1) * sim->block_sectors);
	for (at = block + 1; at <= last; at++)
		if (hidden_index(sim, at) >= 0)
			return at * sim->block_sectors;
	return end;
}

static struct uwrite *new_write(struct sim *sim)
{
	struct rng *rng = &sim->rng;
	u32 atomic = sim->disk.io.atomic_sectors;
	u64 sector, end, blocks;
	struct uwrite *uw;

	sector = choose_block(sim) * sim->block_sectors;
	blocks = chance(rng, 70) ? 1 : 1 + rnd(rng, chance(rng, 80) ? 4 : 20);
	end = min(sim->sectors, sector + blocks * sim->block_sectors);
	if (chance(rng, 50)) {	/* not whole blocks */
		sector += rnd(rng, end - sector) / atomic * atomic;
		end = sector + max(atomic, (1 + rnd(rng, end - sector)) / atomic * atomic);
	}
	end = min(end, sim->sectors);
	end = split(sim, sector, end);
	if (collides(sim, sector, (u32)(end - sector)))
		return NULL;
	uw = model_alloc(sizeof(*uw));
	uw->sector = sector;
	uw->nr = (u32)(end - sector);
	uw->tag = chance(rng, 25) ? 0 : chance(rng, 15) ? 1 + rnd(rng, 3) :
		  rng_next(rng) >> 16 << 8;
	uw->waiter.first = sector / sim->block_sectors;
	uw->waiter.last = (end - 1) / sim->block_sectors;
	uw->next = sim->writers;
	sim->writers = uw;
	sim->nr_writers++;
	return uw;
}

static void user_write(struct sim *sim, bool worker)
{
	struct uwrite *uw;

	if (sim->ops_left)
		sim->ops_left--;
	if (sim->nr_writers >= sim->max_writers)
		return;
	uw = new_write(sim);
	if (!uw)
		return;
	TRACE("user write %llu+%u (blocks %llu-%llu)",
	      (unsigned long long)uw->sector, uw->nr,
	      (unsigned long long)uw->waiter.first,
	      (unsigned long long)uw->waiter.last);
	uw->arrived = false;
	map_write(sim, uw, worker);
}

/* Writes that nobody has in hand yet: held back, or left to the worker. */
static struct uwrite *parked(struct sim *sim)
{
	struct uwrite *uw;
	u32 i;

	for (uw = sim->writers; uw; uw = uw->next) {
		if (uw->arrived || (uw->hidden >= 0 && sim->held[uw->hidden]))
			continue;
		for (i = 0; i < sim->nr_tasks; i++)
			if (sim->tasks[i].uw == uw)
				break;
		if (i == sim->nr_tasks)
			return uw;
	}
	return NULL;
}

static void unpark(struct sim *sim)
{
	struct uwrite *uw;

	while ((uw = parked(sim)) != NULL)
		map_write(sim, uw, true);
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
	sim->ops_out--;
	free(mop->buf);
	free(mop);
}

static void note_roles(struct sim *sim, const struct cow_op *op)
{
	u64 i;
	bool run = false;

	for (i = op->source; i < op->source + op->nr; i++) {
		stats.moves_backup += sim->role[i] == ROLE_BACKUP;
		stats.moves_page += sim->role[i] == ROLE_PAGE;
		run |= sim->role[i] == ROLE_BACKUP;
		sim->role[i] = ROLE_NONE;
	}
	stats.moves_run += run && op->nr > 1;
	if (op->source + op->nr == sim->nr_blocks && sim->sectors % sim->block_sectors)
		stats.short_blocks++;
	for (i = op->dest; i < op->dest + op->nr; i++)
		sim->role[i] = ROLE_BACKUP;
}

static void op_start(struct cow_op *op)
{
	struct sim *sim = to_sim(op->cow);
	u64 i;

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
	add_task(sim, TASK_READ)->op = op;
}

static void page_write(struct cow *cow, unsigned int index,
		       const struct cow_page_write *write)
{
	struct sim *sim = to_sim(cow);
	struct task *task;

	TRACE("  page %u to %llu: seq %llu gen %llu, %u records", index,
	      (unsigned long long)write->sector,
	      (unsigned long long)write->page->header.sequence,
	      (unsigned long long)write->page->header.generation,
	      (unsigned int)write->page->header.record_count);
	if (index) {
		sim->role[write->sector / sim->block_sectors] = ROLE_PAGE;
		stats.rollovers++;
	}
	task = add_task(sim, TASK_PAGE);
	task->page = write->page;
	task->dw = disk_issue(&sim->disk, write->sector, COW_PAGE_SECTORS,
			      write->page, NO_LIVE);
	judge_event(sim);
}

static void flush(struct cow *cow)
{
	struct sim *sim = to_sim(cow);

	TRACE("  flush issued");
	add_task(sim, TASK_FLUSH)->order = sim->disk.order;
}

static void finish_user(struct sim *sim, u32 index)
{
	struct task task = sim->tasks[index];

	sim->tasks[index] = sim->tasks[--sim->nr_tasks];
	TRACE("user write %llu+%u done", (unsigned long long)task.uw->sector,
	      task.uw->nr);
	disk_complete(&sim->disk, task.dw);
	drop_writer(sim, task.uw);
}

static void drain_hidden(struct sim *sim, u32 index)
{
	u32 i = 0;

	while (i < sim->nr_tasks)
		if (sim->tasks[i].kind == TASK_USER &&
		    sim->tasks[i].uw->hidden == (int)index)
			finish_user(sim, i);
		else
			i++;
}

static void hide_hold(struct cow *cow, u32 index)
{
	struct sim *sim = to_sim(cow);

	TRACE("  hold hidden %u", index);
	drain_hidden(sim, index);
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
 * The log may have failed half way: then what counts is on the disk, not in
 * memory.
 */
static int commit_log(struct sim *sim)
{
	struct cow_picture pic;
	int r;

	if (!sim->cow.failed)
		return cow_commit(&sim->cow.log, &sim->cow.geo, sim->cow.io);
	r = cow_picture_init(&pic, sim->cow.io);
	if (!r && cow_picture_read(&pic, COW_CHECK_TAIL))
		r = -EIO;
	if (!r)
		r = cow_commit(&pic.log, &pic.geo, sim->cow.io);
	cow_picture_exit(&pic);
	return r;
}

static void commit_run(struct cow *cow, struct cow_exclusive *self)
{
	struct sim *sim = to_sim(cow);
	u32 i;
	int r;

	(void)self;
	sim->commit_queued = false;
	if (sim->disk.dead)
		return;
	TRACE("live commit");
	for (i = 0; i < cow->log.head.hidden_count; i++) {
		drain_hidden(sim, i);
		sim->held[i] = true;
	}
	sim->phase = PHASE_COMMITTING;
	sim->intent_flushes = sim->disk.flushes + 1 + cow->failed;
	r = commit_log(sim);
	TRACE("live commit: %d", r);
	memset(sim->held, 0, sizeof(sim->held));
	if (r) {
		sim->intent_flushes = ~0ULL;
		if (!sim->errors_seen && !sim->disk.dead)
			fail("commit: %d", r);
		cow->failed = true;
		memset(sim->lost, 1, sizeof(sim->lost));
		return;
	}
	stats.commits++;
	cow->passing = true;
	sim->phase = PHASE_PLAIN;
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
	next = add_task(sim, TASK_WRITE);
	next->op = op;
	next->dw = disk_issue(&sim->disk, cow_block_to_sector(&op->cow->geo, op->dest),
			      op->sectors, mop->buf, NO_LIVE);
	TRACE("read %llu done", (unsigned long long)op->source);
	cow_op_read_done(op, cow_crc(mop->buf, op->sectors * SECTOR), 0);
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

	stats.events++;
	if (task.kind == TASK_USER) {
		finish_user(sim, index);
		return;
	}
	sim->tasks[index] = sim->tasks[--sim->nr_tasks];
	switch (task.kind) {
	case TASK_READ:
		run_read(sim, &task);
		break;
	case TASK_WRITE:
		TRACE("backup %llu written", (unsigned long long)task.op->dest);
		cow_op_write_done(task.op, end_dwrite(sim, task.dw, ERROR_BACKUP));
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
	if (sim->ops_left && (!sim->nr_tasks || chance(&sim->rng, 35)))
		user_write(sim, true);
	else if (sim->nr_tasks)
		run_task(sim, rnd(&sim->rng, sim->nr_tasks));
	if (chance(&sim->rng, 3) && !sim->disk.dead)
		disk_flush_upto(&sim->disk, sim->disk.order);	/* fsync */
	if (sim->engine) {
		cow_turn(&sim->cow);
		unpark(sim);
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
		unpark(sim);
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

void machine_background(struct sim *sim)
{
	u32 i;

	if (!sim->engine || sim->suspended || sim->disk.dead)
		return;
	for (i = 0; i < sim->nr_tasks; i++)
		if (sim->tasks[i].kind == TASK_USER && chance(&sim->rng, 20)) {
			finish_user(sim, i);
			break;
		}
	if (sim->ops_left && chance(&sim->rng, 30))
		user_write(sim, false);
}

void machine_discard(struct sim *sim, u64 first, u64 nr)
{
	u64 block;

	nr = min(nr, sim->nr_blocks - first);
	if (collides(sim, first * sim->block_sectors, (u32)nr * sim->block_sectors))
		return;
	disk_flush_upto(&sim->disk, sim->disk.order);
	for (block = first; block < first + nr; block++) {
		cow_map_set(&sim->cow.map, block, 1, COW_FREE);
		live_forget(&sim->live, block * sim->block_sectors,
			    min(sim->block_sectors,
				sim->sectors - block * sim->block_sectors));
	}
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
	sim->have_cow = true;
	sim->engine = false;
	sim->errors_seen = false;
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

		if (task->kind == TASK_USER) {	/* stays where it is, on the disk */
			struct uwrite *uw = task->uw;

			*task = sim->tasks[--sim->nr_tasks];
			drop_writer(sim, uw);
		} else {
			run_task(sim, 0);
		}
	}
	if (sim->engine) {
		sim->cow.failed = true;
		cow_turn(&sim->cow);
		cow_release_held(&sim->cow, -EIO);
	}
	while (sim->writers)
		drop_writer(sim, sim->writers);
	sim->disk.dead = dead;
	sim->engine = false;
	cow_exit(&sim->cow);
	sim->have_cow = false;
}
