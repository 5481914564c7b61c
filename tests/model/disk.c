// SPDX-License-Identifier: GPL-2.0-only
/*
 * A disk with a volatile write cache. A write is issued, then completed, then,
 * by a flush that was issued after its completion, or at once, if it is one with
 * FUA, durable. A power cut keeps any part of what is not durable; a sector is kept
 * whole or not at all.
 */
#include "model.h"

static int dread(struct cow_io *io, u64 sector, void *buf, u32 sectors);
static int dwrite_sync(struct cow_io *io, u64 sector, const void *buf, u32 sectors);
static int dflush(struct cow_io *io);

static const struct cow_io_ops disk_ops = {
	.read = dread,
	.write = dwrite_sync,
	.flush = dflush,
};

static struct disk *to_disk(struct cow_io *io)
{
	return container_of(io, struct disk, io);
}

static size_t bytes(const struct disk *disk)
{
	return disk->io.sectors * SECTOR;
}

#define DIRTY_WORDS(sectors) DIV_ROUND_UP(sectors, BITS_PER_LONG)

void disk_changed(struct disk *disk, u64 sector, u32 nr)
{
	for (; nr; nr--, sector++)
		disk->dirty[sector / BITS_PER_LONG] |= 1UL << (sector % BITS_PER_LONG);
}

void disk_init(struct disk *disk, u64 sectors, u32 atomic, struct rng *rng)
{
	memset(disk, 0, sizeof(*disk));
	disk->io.ops = &disk_ops;
	disk->io.sectors = sectors;
	disk->io.atomic_sectors = atomic;
	disk->rng = rng;
	disk->stable = model_alloc(bytes(disk));
	disk->view = model_alloc(bytes(disk));
	disk->dirty = model_alloc(DIRTY_WORDS(sectors) * sizeof(*disk->dirty));
	disk_changed(disk, 0, (u32)sectors);
	disk->cut_at = ~0ULL;
}

static void dlist_add(struct dlist *list, struct dwrite *w)
{
	if (list->nr == list->room) {
		list->room = list->room ? 2 * list->room : 16;
		list->w = realloc(list->w, list->room * sizeof(*list->w));
		if (!list->w)
			abort();
	}
	list->w[list->nr++] = w;
}

static void dlist_del(struct dlist *list, struct dwrite *w)
{
	u32 i;

	for (i = 0; list->w[i] != w; i++)
		;
	memmove(list->w + i, list->w + i + 1, (list->nr - i - 1) * sizeof(*list->w));
	list->nr--;
}

static void dlist_clear(struct dlist *list)
{
	while (list->nr)
		free(list->w[--list->nr]);
}

void disk_exit(struct disk *disk)
{
	dlist_clear(&disk->done);
	dlist_clear(&disk->open);
	free(disk->done.w);
	free(disk->open.w);
	free(disk->stable);
	free(disk->view);
	free(disk->dirty);
}

static struct dwrite *dwrite_new(u64 sector, u32 nr, const void *data)
{
	struct dwrite *w = malloc(sizeof(*w) + nr * SECTOR);

	if (!w)
		abort();
	w->sector = sector;
	w->nr = nr;
	w->live = NO_LIVE;
	w->order = 0;
	w->fua = false;
	memcpy(w->data, data, nr * SECTOR);
	return w;
}

static void copy_sector(struct disk *to, const struct disk *from, u64 sector)
{
	size_t at = sector * SECTOR;

	memcpy(to->stable + at, from->stable + at, SECTOR);
	memcpy(to->view + at, from->stable + at, SECTOR);
}

/* Copying all of it each time would take most of the explorer's time. */
void disk_copy_stable(struct disk *to, struct disk *from)
{
	u64 word, sector;

	for (word = 0; word < DIRTY_WORDS(to->io.sectors); word++) {
		unsigned long bits = to->dirty[word] | from->dirty[word];

		for (; bits; bits &= bits - 1) {
			sector = word * BITS_PER_LONG + (u64)__builtin_ctzl(bits);
			copy_sector(to, from, sector);
		}
		to->dirty[word] = 0;
		from->dirty[word] = 0;
	}
	dlist_clear(&to->done);
	dlist_clear(&to->open);
	to->dead = false;
	to->cut_at = ~0ULL;
	to->errors = 0;
	to->bad_nr = 0;
}

static void check_bounds(struct disk *disk, u64 sector, u32 nr)
{
	if (!nr || sector >= disk->io.sectors || nr > disk->io.sectors - sector)
		fail("I/O beyond the device: sector %llu, %u sectors",
		     (unsigned long long)sector, nr);
}

/* @image is one of @disk's two. */
static void apply(struct disk *disk, u8 *image, const struct dwrite *w)
{
	disk_changed(disk, w->sector, w->nr);
	memcpy(image + w->sector * SECTOR, w->data, w->nr * SECTOR);
}

struct dwrite *disk_issue(struct disk *disk, u64 sector, u32 nr,
			  const void *data, u64 live)
{
	struct dwrite *w;

	check_bounds(disk, sector, nr);
	if (disk->dead)
		return NULL;
	w = dwrite_new(sector, nr, data);
	w->live = live;
	dlist_add(&disk->open, w);
	return w;
}

static struct dwrite *dwrite_part(const struct dwrite *w, u32 i, u32 nr)
{
	struct dwrite *part = dwrite_new(w->sector + i, nr, w->data + i * SECTOR);

	if (w->live != NO_LIVE)
		part->live = w->live + i;
	part->order = w->order;
	return part;
}

/* What is left of @old once @by is there. */
static void add_rest(struct dlist *list, struct dwrite *old, const struct dwrite *by)
{
	u64 end = by->sector + by->nr, old_end = old->sector + old->nr;

	if (by->sector >= old_end || old->sector >= end) {
		dlist_add(list, old);
		return;
	}
	if (old->sector < by->sector)
		dlist_add(list, dwrite_part(old, 0, (u32)(by->sector - old->sector)));
	if (old_end > end)
		dlist_add(list, dwrite_part(old, (u32)(end - old->sector),
					    (u32)(old_end - end)));
	free(old);
}

/* A drive does not go back to what was in its cache before. */
static void make_durable(struct disk *disk, struct dwrite *w)
{
	struct dlist rest = { NULL, 0, 0 };
	u32 i;

	for (i = 0; i < disk->done.nr; i++)
		add_rest(&rest, disk->done.w[i], w);
	free(disk->done.w);
	disk->done = rest;
	apply(disk, disk->view, w);
	apply(disk, disk->stable, w);
	free(w);
}

void disk_complete(struct disk *disk, struct dwrite *w)
{
	dlist_del(&disk->open, w);
	w->order = ++disk->order;
	if (w->fua) {
		make_durable(disk, w);
		return;
	}
	dlist_add(&disk->done, w);
	apply(disk, disk->view, w);
}

/* A part of it, as if that had been written alone. */
static void keep_sector(struct disk *disk, const struct dwrite *w, u32 i, u32 nr)
{
	struct dwrite *part = dwrite_part(w, i, nr);

	part->order = ++disk->order;
	dlist_add(&disk->done, part);
	apply(disk, disk->view, part);
}

static void complete_part(struct disk *disk, struct dwrite *w)
{
	u32 i, nr, percent = rnd(disk->rng, 3) * 50;

	for (i = 0; i < w->nr; i += nr) {
		nr = min(disk->io.atomic_sectors, w->nr - i);
		if (chance(disk->rng, percent))
			keep_sector(disk, w, i, nr);
	}
	dlist_del(&disk->open, w);
	free(w);
}

void disk_fail(struct disk *disk, struct dwrite *w)
{
	complete_part(disk, w);
}

void disk_flush_upto(struct disk *disk, u64 order)
{
	u32 i, nr = 0;

	while (nr < disk->done.nr && disk->done.w[nr]->order <= order)
		nr++;
	for (i = 0; i < nr; i++) {
		apply(disk, disk->stable, disk->done.w[i]);
		if (disk->live)
			live_durable(disk->live, disk->done.w[i]);
		free(disk->done.w[i]);
	}
	if (nr)
		memmove(disk->done.w, disk->done.w + nr,
			(disk->done.nr - nr) * sizeof(*disk->done.w));
	disk->done.nr -= nr;
	disk->flushes++;
}

void disk_lose(struct disk *disk, u32 within)
{
	disk->bad_from = disk->ios + rnd(disk->rng, within);
	disk->bad_nr = 1 + rnd(disk->rng, chance(disk->rng, 50) ? 3 : 25);
}

static bool out_of_reach(const struct disk *disk)
{
	u64 io = disk->ios - 1;

	return io >= disk->bad_from && io - disk->bad_from < disk->bad_nr;
}

static bool goes_wrong(struct disk *disk, enum error_kind kind)
{
	if (kind == ERROR_SYNC && out_of_reach(disk))
		return true;
	return disk->errors && (disk->error_kinds & kind) &&
	       rnd(disk->rng, 1000) < disk->errors;
}

bool disk_error(struct disk *disk, enum error_kind kind)
{
	if (!goes_wrong(disk, kind))
		return false;
	stats.errors[__builtin_ctz(kind)]++;
	disk->failures++;
	if (disk->sim)
		disk->sim->errors_seen = true;
	return true;
}

static void happened(struct disk *disk)
{
	struct sim *sim = disk->sim;

	if (!sim)
		return;
	if (sim->have_cow && sim->cow.failed && !sim->committing)
		fail("written to though the log has failed");
	stats.events++;
	disk->sim->sync_step++;
	judge_event(disk->sim);
	user_background(disk->sim);
}

/* Does the power go right here? */
static bool powered(struct disk *disk)
{
	if (!disk->dead && disk->ios++ == disk->cut_at)
		disk->dead = true;
	return !disk->dead;
}

static int dread(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct disk *disk = to_disk(io);

	check_bounds(disk, sector, sectors);
	if (!powered(disk) || disk_error(disk, ERROR_SYNC))
		return -EIO;
	memcpy(buf, disk->view + sector * SECTOR, sectors * SECTOR);
	return 0;
}

static int dwrite_sync(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct disk *disk = to_disk(io);
	struct dwrite *w;
	int r = 0;

	check_bounds(disk, sector, sectors);
	if (disk->dead)
		return -EIO;
	w = disk_issue(disk, sector, sectors, buf, NO_LIVE);
	if (disk->lose_later && !sector) {
		disk->lose_later = false;
		disk_lose(disk, 12);
	}
	/* A cut while it is written: any part of it may be there. */
	if (!powered(disk))
		return -EIO;
	if (disk->sim)
		TRACE("    write %llu+%u", (unsigned long long)sector, sectors);
	happened(disk);
	if (disk_error(disk, ERROR_SYNC)) {
		TRACE("    ...fails");
		disk_fail(disk, w);
		r = -EIO;
	} else {
		disk_complete(disk, w);
	}
	return r;
}

static int dflush(struct cow_io *io)
{
	struct disk *disk = to_disk(io);
	u64 order = disk->order;

	if (!powered(disk))
		return -EIO;
	if (disk->sim)
		TRACE("    flush");
	happened(disk);
	if (disk_error(disk, ERROR_SYNC)) {
		TRACE("    ...fails");
		return -EIO;
	}
	disk_flush_upto(disk, order);
	happened(disk);
	return 0;
}

/* ---- power cuts ---------------------------------------------------------- */

u32 disk_pending(const struct disk *disk)
{
	return disk->done.nr + disk->open.nr;
}

const struct dwrite *disk_pending_write(const struct disk *disk, u32 index)
{
	return index < disk->done.nr ? disk->done.w[index] :
				       disk->open.w[index - disk->done.nr];
}

static void keep_part(struct disk *into, const struct dwrite *w, u32 i, u32 nr)
{
	disk_changed(into, w->sector + i, nr);
	memcpy(into->stable + (w->sector + i) * SECTOR, w->data + i * SECTOR,
	       nr * SECTOR);
}

static void tear(struct disk *disk, const struct dwrite *w, struct disk *into)
{
	u32 style = rnd(disk->rng, 3), cut = rnd(disk->rng, w->nr + 1), i, nr;

	stats.torn++;
	for (i = 0; i < w->nr; i += nr) {
		bool keep = style == 0 ? i < cut : style == 1 ? i >= cut :
				    chance(disk->rng, 50);

		nr = min(disk->io.atomic_sectors, w->nr - i);
		if (keep)
			keep_part(into, w, i, nr);
	}
}

/* One write of many torn at a given place, so that each place has its turn. */
static void tear_at(const struct cut *cut, const struct dwrite *w,
		    struct disk *into)
{
	stats.torn++;
	if (cut->upper)
		keep_part(into, w, cut->at, w->nr - cut->at);
	else
		keep_part(into, w, 0, cut->at);
}

static void cut_write(struct disk *disk, const struct dwrite *w, u32 index,
		      const struct cut *cut, u32 percent, struct disk *into)
{
	if (cut->style == CUT_MASK) {
		if (cut->mask >> index & 1)
			apply(into, into->stable, w);
	} else if (cut->style == CUT_TEAR && cut->index == index) {
		tear_at(cut, w, into);
	} else if (w->nr > disk->io.atomic_sectors && chance(disk->rng, 30)) {
		tear(disk, w, into);
	} else if (chance(disk->rng, percent)) {
		apply(into, into->stable, w);
	}
}

/* What differs from what is stable was written to since, and is on a list. */
static void view_stable(struct disk *disk, const struct disk *pending)
{
	u32 i;

	for (i = 0; i < disk_pending(pending); i++) {
		const struct dwrite *w = disk_pending_write(pending, i);
		size_t at = w->sector * SECTOR;

		memcpy(disk->view + at, disk->stable + at, w->nr * SECTOR);
	}
}

void disk_cut(struct disk *disk, const struct cut *cut, struct disk *into)
{
	static const u32 percents[] = { 5, 20, 50, 50, 80, 95 };
	u32 percent = percents[rnd(disk->rng, ARRAY_SIZE(percents))];
	u32 i;

	for (i = 0; i < disk_pending(disk); i++)
		cut_write(disk, disk_pending_write(disk, i), i, cut, percent, into);
	if (into != disk)
		view_stable(into, disk);
}

void disk_power_on(struct disk *disk)
{
	view_stable(disk, disk);
	dlist_clear(&disk->done);
	dlist_clear(&disk->open);
	disk->dead = false;
	disk->cut_at = ~0ULL;
}

/* What was under way reaches the cache or does not. */
void disk_crash_without_cut(struct disk *disk)
{
	while (disk->open.nr) {
		if (chance(disk->rng, 50))
			disk_complete(disk, disk->open.w[0]);
		else
			complete_part(disk, disk->open.w[0]);
	}
	disk->dead = false;
	disk->cut_at = ~0ULL;
}
