// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What stands between two flushes, and what may be missing when power goes there.
 *
 * Power goes just before the second of the flushes completes: what the first one has
 * saved is there, so is what was written since with FUA, and any part of the rest.
 *
 * A device without a volatile cache has no flushes. There an epoch is one write.
 *
 * An origin and its store are two devices, though they were recorded as two parts of
 * one. A flush of one saves nothing of the other, whose writes are carried on into the
 * next epochs until it is flushed as well.
 */
#include "replay.h"

static bool ends_before(const struct epochs *epochs, u32 index)
{
	return epochs->through || (epochs->rec->entries[index].flags & ENTRY_FLUSH);
}

static void find(struct epochs *epochs)
{
	const struct recording *rec = epochs->rec;
	u32 i, first = rec->point[POINT_TAKE] + 1;
	struct epoch *epoch = NULL;

	for (i = 0; i < rec->nr; i++) {
		if (!epoch || ends_before(epochs, i) || i == first) {
			epoch = &epochs->list[epochs->nr++];
			epoch->start = i;
		}
		if (i == first)
			epochs->first = epochs->nr - 1;
		epoch->end = i + 1;
	}
}

/* ---- the way through ----------------------------------------------------- */

static void apply(struct epochs *epochs, const struct entry *entry)
{
	image_apply(epochs->img, entry->sector, entry->data, entry->nr);
}

/* For good, and not to be chosen from any more. */
static void settle(struct epochs *epochs, const struct entry *flush)
{
	u32 i, left = 0;

	for (i = 0; i < epochs->nr_writes; i++) {
		const struct entry *entry = epochs->writes[i];

		if (epochs->through || part_of(epochs->rec, entry) == part_of(epochs->rec, flush))
			apply(epochs, entry);
		else
			epochs->writes[left++] = entry;
	}
	epochs->nr_writes = left;
}

static void apply_all(struct epochs *epochs, const struct entry **entries, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		apply(epochs, entries[i]);
}

static void leave(struct epochs *epochs)
{
	/* No states are made there. What comes of it must be right, so: as it was logged. */
	bool in_order = epochs->at && epochs->at->unclear;

	if (in_order)
		apply_all(epochs, epochs->writes, epochs->nr_carried);
	apply_all(epochs, epochs->fuas, epochs->nr_fuas);
	if (in_order) {
		apply_all(epochs, epochs->writes + epochs->nr_carried,
			  epochs->nr_writes - epochs->nr_carried);
		epochs->nr_writes = 0;
	}
	epochs->nr_fuas = 0;
}

void epochs_restart(struct epochs *epochs)
{
	epochs->at = NULL;
	epochs->nr_writes = 0;
	epochs->nr_fuas = 0;
}

void epochs_enter(struct epochs *epochs, u32 nr)
{
	struct epoch *epoch = &epochs->list[nr];
	u32 i;

	leave(epochs);
	if (ends_before(epochs, epoch->start))
		settle(epochs, &epochs->rec->entries[epoch->start]);
	epochs->at = epoch;
	epochs->nr_carried = epochs->nr_writes;
	for (i = epoch->start; i < epoch->end; i++) {
		const struct entry *entry = &epochs->rec->entries[i];

		if (entry->nr && (entry->flags & ENTRY_FUA))
			epochs->fuas[epochs->nr_fuas++] = entry;
		else if (entry->nr)
			epochs->writes[epochs->nr_writes++] = entry;
	}
	epoch->nr = epochs->nr_writes;
	epoch->nr_fua = epochs->nr_fuas;
}

/* ---- which write was the last -------------------------------------------- */

/* Kinds of writes that a sector got since its part was flushed. */
enum { CACHED = 1, FUA = 2, BOTH = 3, FLUSHES = 4 };

struct order {
	const struct epochs *epochs;
	u32 *seen;			/* sector: FLUSHES * number of the flush, kinds */
	u32 flushes[NR_PARTS];
	bool unclear[NR_PARTS];
};

static void note_order(struct order *order, const struct entry *entry)
{
	unsigned int part = part_of(order->epochs->rec, entry);
	u32 s, now = FLUSHES * order->flushes[part];
	u32 kind = entry->flags & ENTRY_FUA ? FUA : CACHED;

	for (s = entry->sector; s < entry->sector + entry->nr; s++) {
		if (order->seen[s] / FLUSHES != order->flushes[part])
			order->seen[s] = now;
		order->seen[s] |= kind;
		order->unclear[part] |= order->seen[s] == now + BOTH;
	}
}

/*
 * A FUA write stands before all others of its epoch, whatever the order was. So
 * where both kinds went to the same place, nobody knows what was there.
 */
static void find_unclear(struct epochs *epochs)
{
	const struct recording *rec = epochs->rec;
	struct order order = {
		.epochs = epochs, .seen = need(rec->sectors * sizeof(*order.seen)),
	};
	u32 e, i;

	for (e = 0; e < epochs->nr; e++) {
		struct epoch *epoch = &epochs->list[e];
		unsigned int part = part_of(rec, &rec->entries[epoch->start]);

		if (ends_before(epochs, epoch->start)) {
			order.flushes[part]++;
			order.unclear[part] = false;
		}
		for (i = epoch->start; i < epoch->end; i++)
			note_order(&order, &rec->entries[i]);
		epoch->unclear = order.unclear[PART_ORIGIN] || order.unclear[PART_STORE];
		epochs->unclear += e >= epochs->first && epoch->unclear;
	}
	free(order.seen);
}

void epochs_init(struct epochs *epochs, const struct recording *rec, struct image *img)
{
	u32 e;

	epochs->rec = rec;
	epochs->img = img;
	epochs->list = need((rec->nr + 1) * sizeof(*epochs->list));
	epochs->writes = need(rec->nr * sizeof(*epochs->writes));
	epochs->fuas = need(rec->nr * sizeof(*epochs->fuas));
	find(epochs);
	find_unclear(epochs);
	/* How many writes there are to choose from. */
	for (e = 0; e < epochs->nr; e++)
		epochs_enter(epochs, e);
}
