// SPDX-License-Identifier: GPL-2.0-only
/* Two disks as one, each with its own cache; the power goes for both. */
#include "apart.h"

static struct pair *to_pair(struct cow_io *io)
{
	return container_of(io, struct pair, io);
}

static struct disk *side(struct pair *pair, u64 *sector)
{
	if (*sector < COW_ORIGIN_BASE)
		return &pair->store;
	*sector -= COW_ORIGIN_BASE;
	return &pair->origin;
}

static void happened(struct pair *pair)
{
	if (!pair->sim || pair_dead(pair))
		return;
	apart_event(pair->sim);
	apart_background(pair->sim);
}

/* Does the power go within this one? Then what it writes may be there in part. */
static void before(struct pair *pair, struct disk *disk)
{
	happened(pair);
	if (pair->ios++ == pair->cut_at)
		disk->cut_at = disk->ios;
}

static int after(struct pair *pair, int r)
{
	if (pair->store.dead || pair->origin.dead)
		pair->store.dead = pair->origin.dead = true;
	happened(pair);
	return r;
}

static int pair_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct pair *pair = to_pair(io);
	struct disk *disk = side(pair, &sector);

	before(pair, disk);
	return after(pair, cow_read(&disk->io, sector, buf, sectors));
}

static bool is_erasure(u64 sector, const void *buf)
{
	static const u8 zeroes[SECTOR];

	return !sector && !memcmp(buf, zeroes, SECTOR);
}

/* The header may stay; then slot 1 says that the log has ended. */
static void note_failure(struct pair *pair)
{
	if (pair->sim && !pair_dead(pair) && pair->sim->phase == APART_ENDING)
		pair->sim->may_be_marked = true;
}

static int pair_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct pair *pair = to_pair(io);
	struct apart *sim = pair->sim;
	struct disk *disk = side(pair, &sector);
	int r;

	if (sim && disk == &pair->origin)
		fail("the core writes to the origin");
	if (sim && is_erasure(sector, buf)) {
		sim->phase = APART_ENDING;
		/* An error just here would be rare. */
		if (sim->memory_errors && chance(&sim->rng, 30))
			disk_lose(disk, 1);
	}
	if (sim && !pair_dead(pair))
		TRACE("    write %llu+%u", (unsigned long long)sector, sectors);
	before(pair, disk);
	r = cow_write(&disk->io, sector, buf, sectors);
	after(pair, r);
	if (sim && r && is_erasure(sector, buf))
		note_failure(pair);
	return r;
}

static int pair_flush(struct cow_io *io)
{
	struct pair *pair = to_pair(io);
	int r;

	before(pair, &pair->store);
	r = after(pair, cow_flush(&pair->store.io));
	if (!r) {
		before(pair, &pair->origin);
		r = after(pair, cow_flush(&pair->origin.io));
	}
	if (r)
		note_failure(pair);
	return r;
}

static const struct cow_io_ops pair_ops = {
	.read = pair_read, .write = pair_write, .flush = pair_flush,
};

void pair_init(struct pair *pair, u64 store, u64 origin, u32 atomic, struct rng *rng)
{
	memset(pair, 0, sizeof(*pair));
	disk_init(&pair->store, store, atomic, rng);
	disk_init(&pair->origin, origin, atomic, rng);
	pair->io.ops = &pair_ops;
	pair->io.sectors = COW_ORIGIN_BASE + origin;
	pair->io.store_sectors = store;
	pair->io.atomic_sectors = atomic;
	pair->cut_at = ~0ULL;
}

void pair_exit(struct pair *pair)
{
	disk_exit(&pair->store);
	disk_exit(&pair->origin);
}

bool pair_dead(const struct pair *pair)
{
	return pair->store.dead;
}

void pair_copy_stable(struct pair *to, struct pair *from)
{
	disk_copy_stable(&to->store, &from->store);
	disk_copy_stable(&to->origin, &from->origin);
	to->cut_at = ~0ULL;
}

static void cut_one(struct disk *disk, int mask, struct rng *rng, struct disk *into)
{
	struct cut cut = { .style = mask < 0 ? CUT_RANDOM : CUT_MASK, .mask = (u32)mask };
	struct rng *old = disk->rng;

	disk->rng = rng;
	disk_cut(disk, &cut, into);
	disk->rng = old;
}

void pair_cut(struct pair *pair, int mask, struct rng *rng, struct pair *into)
{
	u32 nr = disk_pending(&pair->store);

	cut_one(&pair->store, mask < 0 ? -1 : mask & ((1 << nr) - 1), rng, &into->store);
	cut_one(&pair->origin, mask < 0 ? -1 : mask >> nr, rng, &into->origin);
}

void pair_power_on(struct pair *pair)
{
	disk_power_on(&pair->store);
	disk_power_on(&pair->origin);
	pair->cut_at = ~0ULL;
}

void pair_crash_without_cut(struct pair *pair)
{
	disk_crash_without_cut(&pair->store);
	disk_crash_without_cut(&pair->origin);
	pair->cut_at = ~0ULL;
}

u32 pair_pending(const struct pair *pair)
{
	return disk_pending(&pair->store) + disk_pending(&pair->origin);
}

u64 pair_failures(const struct pair *pair)
{
	return pair->store.failures + pair->origin.failures;
}
