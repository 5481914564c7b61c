// SPDX-License-Identifier: GPL-2.0-only
/*
 * The surroundings of the core: its asynchronous operations, carried out in random
 * order, and whoever writes to the origin.
 */
#include "apart.h"

struct mop {
	struct cow_op op;
	u8 *buf;
};

#define FIRST_PLACE 2		/* blocks; slot 0 is before it */

static struct apart *to_sim(struct cow *cow)
{
	(void)cow;
	return apart_current;
}

static struct task *add_task(struct apart *sim, enum task_kind kind)
{
	struct task *task = &sim->tasks[sim->nr_tasks++];

	if (sim->nr_tasks == MAX_TASKS)
		fail("too many operations in flight");
	memset(task, 0, sizeof(*task));
	task->kind = kind;
	return task;
}

/* ---- writes to the origin -------------------------------------------------- */

static void drop_writer(struct apart *sim, struct uwrite *uw)
{
	struct uwrite **at = &sim->writers;

	while (*at != uw)
		at = &(*at)->next;
	*at = uw->next;
	sim->nr_writers--;
	free(uw);
}

static void send_write(struct apart *sim, struct uwrite *uw)
{
	u8 data[64 * SECTOR];
	struct task *task;
	u32 i;

	if (pair_dead(&sim->disk)) {
		drop_writer(sim, uw);
		return;
	}
	for (i = 0; i < uw->nr; i++)
		fill_sector(data + i * SECTOR, uw->tag + i);
	task = add_task(sim, TASK_USER);
	task->uw = uw;
	task->dw = disk_issue(&sim->disk.origin, uw->sector, uw->nr, data, uw->sector);
	TRACE("  write %llu+%u goes to the origin", (unsigned long long)uw->sector, uw->nr);
}

static bool collides(const struct apart *sim, u64 sector, u32 nr)
{
	const struct uwrite *uw;

	for (uw = sim->writers; uw; uw = uw->next)
		if (sector < uw->sector + uw->nr && uw->sector < sector + nr)
			return true;
	return false;
}

static struct uwrite *new_write(struct apart *sim)
{
	struct rng *rng = &sim->rng;
	u32 atomic = sim->disk.io.atomic_sectors;
	u64 sector = rnd(rng, sim->nr_blocks) * sim->block_sectors;
	u64 more = chance(rng, 30) ? rnd(rng, 64 / sim->block_sectors) : 0;
	u32 nr = sim->block_sectors * (u32)(1 + more);
	struct uwrite *uw;

	/* One after the other, until it is enough. */
	sim->following = chance(rng, sim->following ? 70 : 8);
	if (sim->following)
		sector = sim->after % sim->nr_blocks * sim->block_sectors;

	if (chance(rng, 30)) {
		sector += rnd(rng, sim->block_sectors) / atomic * atomic;
		nr = atomic * (1 + rnd(rng, nr / atomic));
	}
	if (sector >= sim->sectors)
		return NULL;
	nr = (u32)min((u64)nr, sim->sectors - sector);
	if (collides(sim, sector, nr) || sim->nr_writers >= sim->max_writers)
		return NULL;
	uw = model_alloc(sizeof(*uw));
	uw->sector = sector;
	uw->nr = nr;
	uw->tag = sim->next_tag;
	sim->next_tag += 256;
	uw->waiter.first = sector / sim->block_sectors;
	uw->waiter.last = (sector + nr - 1) / sim->block_sectors;
	sim->after = uw->waiter.last + 1;
	uw->next = sim->writers;
	sim->writers = uw;
	sim->nr_writers++;
	apart_stats.writes++;
	return uw;
}

static bool passes(const struct apart *sim, const struct uwrite *uw)
{
	return !sim->engine || sim->cow.passing ||
	       cow_map_passes(&sim->cow.map, uw->waiter.first,
			      uw->waiter.last - uw->waiter.first + 1);
}

static void turn(struct apart *sim)
{
	if (!sim->engine)
		return;
	sim->in_worker = true;
	cow_turn(&sim->cow);
	sim->in_worker = false;
}

/* As the target's map function does; the worker may be busy. */
static void user_writes(struct apart *sim)
{
	struct uwrite *uw = new_write(sim);

	if (!uw)
		return;
	TRACE("write %llu+%u", (unsigned long long)uw->sector, uw->nr);
	if (passes(sim, uw)) {
		send_write(sim, uw);
	} else if (sim->in_worker) {
		drop_writer(sim, uw);
	} else {
		cow_write_arrived(&sim->cow, &uw->waiter);
		turn(sim);
	}
}

static void user_done(struct apart *sim, u32 index)
{
	struct task task = sim->tasks[index];

	sim->tasks[index] = sim->tasks[--sim->nr_tasks];
	disk_complete(&sim->disk.origin, task.dw);
	drop_writer(sim, task.uw);
}

void apart_background(struct apart *sim)
{
	u32 i;

	if (!sim->engine || pair_dead(&sim->disk))
		return;
	for (i = 0; i < sim->nr_tasks; i++)
		if (sim->tasks[i].kind == TASK_USER && chance(&sim->rng, 30)) {
			user_done(sim, i);
			break;
		}
	if (chance(&sim->rng, 30))
		user_writes(sim);
}

/* ---- what the core asks for ------------------------------------------------ */

static void release(struct cow *cow, struct cow_waiter *waiter, int error)
{
	struct apart *sim = to_sim(cow);

	if (error && !pair_dead(&sim->disk))
		fail("a write to the origin ends with %d", error);
	send_write(sim, container_of(waiter, struct uwrite, waiter));
}

static struct cow_op *op_alloc(struct cow *cow, u32 nr)
{
	struct apart *sim = to_sim(cow);
	struct mop *mop;

	if (sim->ops_out && (sim->ops_out >= 8 || chance(&sim->rng, 5)))
		return NULL;
	sim->ops_out++;
	mop = model_alloc(sizeof(*mop));
	mop->buf = model_alloc((size_t)nr * sim->block_sectors * SECTOR);
	return &mop->op;
}

static void op_free(struct cow_op *op)
{
	struct mop *mop = container_of(op, struct mop, op);

	to_sim(op->cow)->ops_out--;
	free(mop->buf);
	free(mop);
}

static void op_start(struct cow_op *op)
{
	struct apart *sim = to_sim(op->cow);

	TRACE("  copy %llu+%u to %llu", (unsigned long long)op->source, op->nr,
	      (unsigned long long)op->dest);
	apart_stats.copies++;
	apart_stats.copies_ahead += !!op->ahead;
	add_task(sim, TASK_READ)->op = op;
}

static void page_write(struct cow *cow, unsigned int index,
		       const struct cow_page_write *write)
{
	struct apart *sim = to_sim(cow);
	struct task *task = add_task(sim, TASK_PAGE);

	TRACE("  page %u to %llu: seq %llu gen %llu, %u records", index,
	      (unsigned long long)write->sector,
	      (unsigned long long)write->page->header.sequence,
	      (unsigned long long)write->page->header.generation,
	      (unsigned int)write->page->header.record_count);
	apart_stats.rollovers += index;
	task->page = write->page;
	task->dw = disk_issue(&sim->disk.store, write->sector, COW_PAGE_SECTORS,
			      write->page, NO_LIVE);
	if (task->dw)
		task->dw->fua = write->fua;
	apart_stats.fua_pages += write->fua;
}

static void flush(struct cow *cow)
{
	struct apart *sim = to_sim(cow);

	TRACE("  flush issued");
	add_task(sim, TASK_FLUSH)->order = sim->disk.store.order;
}

/* Somebody must call again: the end of what is in flight, here. */
static bool linger(struct cow *cow, u32 ready, u32 reading)
{
	struct apart *sim = to_sim(cow);

	(void)ready;
	if (reading ? chance(&sim->rng, 40) : !sim->nr_tasks || !chance(&sim->rng, 30))
		return false;
	apart_stats.lingers += !reading;
	return true;
}

static void event(struct cow *cow, enum cow_event what)
{
	struct apart *sim = to_sim(cow);

	if (what != COW_EVENT_STALE)
		fail("event %d", what);
	if (pair_dead(&sim->disk))
		return;
	if (!sim->may_be_marked)
		fail("the log can not be ended though the disk is sound");
	TRACE("  the log is stale");
	sim->phase = APART_STALE;
	apart_stats.stale++;
}

/* From 128 KiB on in the kernel; somewhere behind slot 0 will do. */
static u64 take(struct cow *cow, u64 want, u64 *dest)
{
	struct apart *sim = to_sim(cow);
	u64 size = sim->store_sectors / sim->block_sectors;
	u64 nr = min(want, size - min(size, sim->used));

	if (nr > 1 && chance(&sim->rng, 20))
		nr = 1 + rnd(&sim->rng, nr);
	*dest = sim->used;
	sim->used += nr;
	/* Others take from the store as well. */
	if (chance(&sim->rng, 5))
		sim->used++;
	return nr;
}

static int keep(struct cow *cow, const struct cow_op *op)
{
	struct apart *sim = to_sim(cow);

	(void)op;
	if (rnd(&sim->rng, 1000) >= sim->memory_errors)
		return 0;
	apart_stats.no_memory++;
	return -ENOMEM;
}

static void abandon(struct cow *cow, int error)
{
	struct apart *sim = to_sim(cow);

	TRACE("  abandoned: %d", error);
	if (error == -ENOSPC)
		apart_stats.full++;
	else if (error == -EIO)
		apart_stats.lost++;
	if (sim->phase == APART_ENDING && !pair_dead(&sim->disk)) {
		sim->phase = APART_NONE;
		apart_stats.marked += sim->may_be_marked;
	}
	cow->passing = true;
}

const struct cow_env_ops apart_env = {
	.op_alloc = op_alloc, .op_free = op_free, .op_start = op_start,
	.page_write = page_write, .flush = flush, .linger = linger, .release = release, .event = event,
	.take = take, .keep = keep, .abandon = abandon,
};

/* ---- operations end -------------------------------------------------------- */

static void run_read(struct apart *sim, struct task *task)
{
	struct cow_op *op = task->op;
	struct mop *mop = container_of(op, struct mop, op);
	u64 sector = op->source * sim->block_sectors;
	struct task *next;

	if (pair_dead(&sim->disk) || disk_error(&sim->disk.origin, ERROR_READ)) {
		cow_op_read_done(op, 0, -EIO);
		return;
	}
	memcpy(mop->buf, sim->disk.origin.view + sector * SECTOR, op->sectors * SECTOR);
	cow_op_has_data(op);
	add_task(sim, TASK_SUM)->op = op;
	next = add_task(sim, TASK_WRITE);
	next->op = op;
	next->dw = disk_issue(&sim->disk.store, op->dest * sim->block_sectors, op->sectors,
			      mop->buf, NO_LIVE);
	if (next->dw)
		next->dw->fua = op->fua;
	apart_stats.fua_backups += op->fua;
}

static void run_sum(struct task *task)
{
	struct mop *mop = container_of(task->op, struct mop, op);

	cow_op_read_done(task->op, cow_crc(mop->buf, task->op->sectors * SECTOR), 0);
}

/* The end of a write of ours: 0 or an error. */
static int end_dwrite(struct apart *sim, struct dwrite *dw, enum error_kind kind)
{
	if (pair_dead(&sim->disk) || !dw)
		return -EIO;
	if (!disk_error(&sim->disk.store, kind)) {
		disk_complete(&sim->disk.store, dw);
		return 0;
	}
	TRACE("  ...with an error");
	disk_fail(&sim->disk.store, dw);
	return -EIO;
}

static void run_flush(struct apart *sim, struct task *task)
{
	if (pair_dead(&sim->disk) || disk_error(&sim->disk.store, ERROR_FLUSH)) {
		cow_flush_done(&sim->cow, -EIO);
		return;
	}
	disk_flush_upto(&sim->disk.store, task->order);
	cow_flush_done(&sim->cow, 0);
}

static void run_task(struct apart *sim, u32 index)
{
	struct task task = sim->tasks[index];

	apart_stats.events++;
	if (task.kind == TASK_USER) {
		user_done(sim, index);
		return;
	}
	sim->tasks[index] = sim->tasks[--sim->nr_tasks];
	TRACE("task %d ends", task.kind);
	if (task.kind == TASK_READ)
		run_read(sim, &task);
	else if (task.kind == TASK_SUM)
		run_sum(&task);
	else if (task.kind == TASK_WRITE)
		cow_op_write_done(task.op, end_dwrite(sim, task.dw, ERROR_BACKUP));
	else if (task.kind == TASK_PAGE)
		cow_page_written(&sim->cow, end_dwrite(sim, task.dw, ERROR_PAGE));
	else
		run_flush(sim, &task);
}

void apart_step(struct apart *sim, bool writes)
{
	if (writes && (!sim->nr_tasks || chance(&sim->rng, 35)))
		user_writes(sim);
	else if (sim->nr_tasks)
		run_task(sim, (u32)rnd(&sim->rng, sim->nr_tasks));
	if (chance(&sim->rng, 3) && !pair_dead(&sim->disk))
		disk_flush_upto(&sim->disk.origin, sim->disk.origin.order);
	turn(sim);
	apart_event(sim);
}

void apart_drain(struct apart *sim)
{
	for (turn(sim); sim->nr_tasks; turn(sim)) {
		run_task(sim, (u32)rnd(&sim->rng, sim->nr_tasks));
		apart_event(sim);
	}
	if (sim->engine && !cow_is_idle(&sim->cow))
		fail("the core is stuck");
	if (sim->writers)
		fail("a write to the origin waits for ever");
}

/* ---- the machine ----------------------------------------------------------- */

void apart_start(struct apart *sim)
{
	if (cow_init(&sim->cow, sim->sectors, 0, &sim->disk.io, &apart_env))
		fail("cow_init");
	sim->cow.apart = true;
	sim->cow.unlogged = true;
	sim->cow.fua = chance(&sim->rng, 50);
	sim->have_cow = true;
	sim->engine = false;
	sim->used = FIRST_PLACE;
	sim->disk.sim = sim;
}

void apart_arm(struct cow *cow, u32 block_sectors)
{
	struct cow_geometry geo;
	struct cow_map map;

	cow_geometry_set(&geo, cow->geo.sectors, block_sectors);
	if (cow_map_init(&map, geo.nr_blocks))
		fail("out of memory");
	cow_begin(cow, &map, block_sectors);
	cow_map_exit(&map);
}

/* The machine is gone: let go of everything. */
void apart_stop(struct apart *sim)
{
	bool dead = pair_dead(&sim->disk);
	u32 i;

	if (!sim->have_cow)
		return;
	sim->disk.sim = NULL;
	sim->disk.store.dead = sim->disk.origin.dead = true;
	for (i = 0; i < sim->nr_tasks;)
		if (sim->tasks[i].kind == TASK_USER)	/* stays on the disk's list */
			sim->tasks[i] = sim->tasks[--sim->nr_tasks];
		else
			i++;
	for (turn(sim); sim->nr_tasks; turn(sim))
		run_task(sim, 0);
	while (sim->writers)
		drop_writer(sim, sim->writers);
	if (sim->ops_out)
		fail("operations are left over");
	cow_exit(&sim->cow);
	sim->have_cow = false;
	sim->engine = false;
	sim->disk.store.dead = sim->disk.origin.dead = dead;
}

static void run_forget(struct cow *cow, struct cow_exclusive *self)
{
	(void)self;
	cow_apart_end(cow, -ENODEV);
}

/* The snapshot is not wanted any more. */
void apart_forget(struct apart *sim)
{
	static struct cow_exclusive forget;

	TRACE("forget");
	forget.run = run_forget;
	cow_run_exclusive(&sim->cow, &forget);
	while (!sim->cow.passing && !pair_dead(&sim->disk)) {
		turn(sim);
		if (sim->nr_tasks)
			run_task(sim, (u32)rnd(&sim->rng, sim->nr_tasks));
		apart_event(sim);
	}
	apart_stats.forgets++;
}
