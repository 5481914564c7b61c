// SPDX-License-Identifier: GPL-2.0-only
/*
 * The filesystem: it writes, reads and discards whatever it likes, as the
 * target's map function lets it.
 */
#include "model.h"

/* ---- where to ------------------------------------------------------------ */

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

static u64 choose_ours(struct sim *sim, u64 block)
{
	u64 i;

	for (i = 0; i < sim->nr_blocks; i++, block++)
		if (sim->role[block % sim->nr_blocks])
			break;
	return block % sim->nr_blocks;
}

/* A block that somebody could be interested in. */
static u64 choose_block(struct sim *sim, struct rng *rng)
{
	const struct cow_head *head = &sim->cow.log.head;
	u64 block = rnd(rng, sim->nr_blocks), i;

	if (!sim->engine)
		return block;
	/* One after the other, until it is enough. */
	sim->following = chance(rng, sim->following ? 70 : 8);
	if (sim->following)
		return sim->after % sim->nr_blocks;
	/* What a failed backup has left there is read, and copied. */
	if (sim->bad_place && chance(rng, sim->claims_bad ? 30 : 8))
		return sim->bad_place;
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
		return choose_ours(sim, block);
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

static bool collides(const struct sim *sim, u64 sector, u64 nr)
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

/* Any run of logical blocks; most are whole blocks, some are many. */
static u32 choose_sectors(struct sim *sim, struct rng *rng, u64 *start)
{
	u32 atomic = sim->disk.io.atomic_sectors;
	u64 sector = choose_block(sim, rng) * sim->block_sectors;
	u64 blocks = chance(rng, 70) ? 1 : 1 + rnd(rng, chance(rng, 80) ? 4 : 20);
	u64 end = min(sim->sectors, sector + blocks * sim->block_sectors);

	if (chance(rng, 50)) {	/* not whole blocks */
		sector += rnd(rng, end - sector) / atomic * atomic;
		end = sector + max(atomic, (1 + rnd(rng, end - sector)) / atomic * atomic);
	}
	end = split(sim, sector, min(end, sim->sectors));
	*start = sector;
	return (u32)(end - sector);
}

/* ---- reads --------------------------------------------------------------- */

static bool all_known(const struct sim *sim, u64 sector, u32 nr)
{
	for (; nr; nr--, sector++)
		if (!sim->live.known[sector])
			return false;
	return true;
}

/*
 * What a read finds at its place may be changed by the filesystem alone: the
 * core has to wait for readers of what it moves away.
 */
void user_read(struct sim *sim)
{
	struct rng *rng = &sim->rng;
	struct redirect redirect;
	struct uread *ur;
	u64 sector;
	u32 nr = choose_sectors(sim, rng, &sector);
	int hidden = hidden_index(sim, sector / sim->block_sectors);

	if (collides(sim, sector, nr) || !all_known(sim, sector, nr) ||
	    (hidden >= 0 && sim->held[hidden]))
		return;
	ur = model_alloc(sizeof(*ur) + nr * SECTOR);
	machine_redirect(sim, &redirect);
	ur->sector = sector;
	ur->nr = nr;
	ur->hidden = hidden;
	ur->at = redirect_sector(&redirect, sector);
	memcpy(ur->data, sim->disk.view + ur->at * SECTOR, nr * SECTOR);
	machine_add_task(sim, TASK_LOOK)->ur = ur;
	stats.reads++;
	stats.reads_hidden += hidden >= 0;
}

void user_read_done(struct sim *sim, u32 task)
{
	struct uread *ur = sim->tasks[task].ur;

	sim->tasks[task] = sim->tasks[--sim->nr_tasks];
	if (!ur->changed && !sim->disk.dead &&
	    memcmp(sim->disk.view + ur->at * SECTOR, ur->data, ur->nr * SECTOR))
		fail("what is being read at %llu+%u has been written over",
		     (unsigned long long)ur->at, ur->nr);
	free(ur);
}

static void readers_may_see(struct sim *sim, u64 sector, u64 nr)
{
	u32 i;

	for (i = 0; i < sim->nr_tasks; i++) {
		struct uread *ur = sim->tasks[i].ur;

		if (ur && sector < ur->sector + ur->nr && ur->sector < sector + nr)
			ur->changed = true;
	}
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
	readers_may_see(sim, uw->sector, uw->nr);
	task = machine_add_task(sim, TASK_USER);
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

void user_released(struct sim *sim, struct uwrite *uw, int error)
{
	uw->arrived = false;
	if (error)
		end_write(sim, uw, error);
	else
		send_write(sim, uw);
}

static bool passes(struct sim *sim, u64 first, u64 nr)
{
	struct cow_map *map = &sim->cow.map;

	if (cow_map_passes(map, first, nr))
		return true;
	cow_map_replace(map, first, nr, COW_FREE, COW_LOOSE);
	return cow_map_passes(map, first, nr);
}

static void forget_discard(struct sim *sim, u64 block, u64 last)
{
	for (; block <= last; block++)
		sim->discarded[block / BITS_PER_LONG] &= ~(1UL << (block % BITS_PER_LONG));
}

/* What the target's map function does with a write. */
static void map_write(struct sim *sim, struct uwrite *uw, bool worker)
{
	struct cow_waiter *waiter = &uw->waiter;
	u64 nr = waiter->last + 1 - waiter->first;

	uw->hidden = hidden_index(sim, waiter->first);
	if (uw->hidden >= 0) {
		stats.writes_hidden++;
		if (sim->lost[uw->hidden])
			end_write(sim, uw, -EIO);
		else if (!sim->held[uw->hidden])
			send_write(sim, uw);
		return;
	}
	if (!sim->engine) {
		cow_map_replace(&sim->cow.map, waiter->first, nr, COW_FREE,
				COW_PROTECTED);
		send_write(sim, uw);
		return;
	}
	forget_discard(sim, waiter->first, waiter->last);
	if (passes(sim, waiter->first, nr)) {
		send_write(sim, uw);
	} else if (worker) {
		uw->arrived = true;
		cow_write_arrived(&sim->cow, waiter);
		cow_turn(&sim->cow);
	}
}

static void count_write(const struct sim *sim, const struct uwrite *uw)
{
	u32 block = sim->block_sectors;

	stats.writes++;
	stats.writes_unaligned += !!(uw->sector % block);
	stats.writes_part += uw->nr < block;
	stats.writes_long += uw->nr > 4 * block;
	stats.writes_short_block += sim->sectors % block &&
				    uw->sector + uw->nr > sim->sectors / block * block;
}

static struct uwrite *new_write(struct sim *sim, struct rng *rng)
{
	struct uwrite *uw;
	u64 sector;
	u32 nr = choose_sectors(sim, rng, &sector);

	if (collides(sim, sector, nr))
		return NULL;
	uw = model_alloc(sizeof(*uw));
	uw->sector = sector;
	uw->nr = nr;
	uw->tag = chance(rng, 25) ? 0 : chance(rng, 15) ? 1 + rnd(rng, 3) :
		  rng_next(rng) >> 16 << 8;
	uw->waiter.first = sector / sim->block_sectors;
	uw->waiter.last = (sector + nr - 1) / sim->block_sectors;
	sim->after = uw->waiter.last + 1;
	uw->next = sim->writers;
	sim->writers = uw;
	sim->nr_writers++;
	count_write(sim, uw);
	return uw;
}

static bool is_skipped(u32 write)
{
	return write < 64 * ARRAY_SIZE(skipped) &&
	       skipped[write / 64] >> (write % 64) & 1;
}

void user_write(struct sim *sim, bool worker)
{
	/* One number of the run's for each write: leaving one out changes little. */
	struct rng own = { rng_next(&sim->rng) };
	struct uwrite *uw;

	if (sim->ops_left)
		sim->ops_left--;
	if (is_skipped(sim->nr_user_writes++) || sim->nr_writers >= sim->max_writers)
		return;
	uw = new_write(sim, &own);
	if (!uw)
		return;
	TRACE("user write %llu+%u (blocks %llu-%llu)",
	      (unsigned long long)uw->sector, uw->nr,
	      (unsigned long long)uw->waiter.first,
	      (unsigned long long)uw->waiter.last);
	uw->arrived = false;
	map_write(sim, uw, worker);
}

void user_write_done(struct sim *sim, u32 index)
{
	struct task task = sim->tasks[index];

	sim->tasks[index] = sim->tasks[--sim->nr_tasks];
	TRACE("user write %llu+%u done", (unsigned long long)task.uw->sector,
	      task.uw->nr);
	disk_complete(&sim->disk, task.dw);
	drop_writer(sim, task.uw);
}

void user_drain_hidden(struct sim *sim, u32 index)
{
	u32 i = 0;

	while (i < sim->nr_tasks) {
		const struct task *task = &sim->tasks[i];

		if (task->uw && task->uw->hidden == (int)index)
			user_write_done(sim, i);
		else if (task->ur && task->ur->hidden == (int)index)
			user_read_done(sim, i);
		else
			i++;
	}
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

void user_unpark(struct sim *sim)
{
	struct uwrite *uw;

	while ((uw = parked(sim)) != NULL)
		map_write(sim, uw, true);
}

/* Writes in flight stay where they are, on the disk's lists. */
void user_drop_all(struct sim *sim)
{
	while (sim->writers)
		drop_writer(sim, sim->writers);
}

void user_background(struct sim *sim)
{
	u32 i;

	if (!sim->engine || sim->suspended || sim->disk.dead)
		return;
	for (i = 0; i < sim->nr_tasks; i++)
		if (sim->tasks[i].kind == TASK_USER && chance(&sim->rng, 20)) {
			user_write_done(sim, i);
			break;
		}
	if (sim->ops_left && chance(&sim->rng, 30))
		user_write(sim, false);
	if (sim->ops_left && chance(&sim->rng, 15))
		user_read(sim);
}

/* ---- discards ------------------------------------------------------------ */

static u64 block_sectors_at(const struct sim *sim, u64 block)
{
	return min((u64)sim->block_sectors, sim->sectors - block * sim->block_sectors);
}

/* A filesystem discards what it has durably let go of. */
static bool let_go(struct sim *sim, u64 first, u64 nr)
{
	u64 block;

	if (collides(sim, first * sim->block_sectors, nr * sim->block_sectors))
		return false;
	disk_flush_upto(&sim->disk, sim->disk.order);
	readers_may_see(sim, first * sim->block_sectors, nr * sim->block_sectors);
	for (block = first; block < first + nr; block++)
		live_forget(&sim->live, block * sim->block_sectors,
			    block_sectors_at(sim, block));
	return true;
}

void user_trim(struct sim *sim, u64 first, u64 nr)
{
	nr = min(nr, sim->nr_blocks - first);
	if (let_go(sim, first, nr))
		cow_map_set(&sim->cow.map, first, nr, COW_FREE);
}

void user_discard(struct sim *sim)
{
	u64 whole = sim->sectors / sim->block_sectors;
	u64 first = rnd(&sim->rng, whole), block;
	u64 nr = min(whole - first, 1 + rnd(&sim->rng, chance(&sim->rng, 80) ? 3 : 30));

	if (!sim->engine || sim->cow.passing || !let_go(sim, first, nr))
		return;
	TRACE("discard of blocks %llu+%llu", (unsigned long long)first,
	      (unsigned long long)nr);
	for (block = first; block < first + nr; block++)
		sim->discarded[block / BITS_PER_LONG] |= 1UL << (block % BITS_PER_LONG);
	stats.discards++;
}
