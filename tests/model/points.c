// SPDX-License-Identifier: GPL-2.0-only
/*
 * Crash points: two power cuts are alike if the protocol was doing the same
 * thing and the same kinds of writes were not durable, whatever their places
 * and contents. Points are remembered by a hash.
 */
#include "model.h"

#define ROOM (1U << 22)

/* 0: nothing here; the lowest bit says that the point has been tried. */
static u64 *seen;

static u64 mix(u64 hash, u64 value)
{
	struct rng rng = { hash ^ value };

	return rng_next(&rng);
}

/* What a write that is not durable is, by where it goes. */
enum write_kind {
	W_OTHER,
	W_USER,
	W_LIVE,			/* the user's, to a hidden block */
	W_BACKUP,
	W_SLOT0,
	W_SLOT0_PART,
	W_SLOT1,
	W_SLOT1_PART,
	W_SEAL,
	W_HIDDEN,		/* ours, to a hidden block's own place */
	W_LIVE_COPY,		/* ours, to a live copy */
	W_KINDS,
};

static enum write_kind hidden_kind(const struct cow_head *head,
				   const struct dwrite *w)
{
	u32 i;

	for (i = 0; i < head->hidden_count; i++) {
		if (w->sector == head->hidden[i].source)
			return W_HIDDEN;
		if (w->sector == head->hidden[i].live)
			return W_LIVE_COPY;
	}
	return W_OTHER;
}

static enum write_kind write_kind(const struct sim *sim, const struct dwrite *w)
{
	const struct cow_head *head = &sim->cow.log.head;
	bool page = w->nr == COW_PAGE_SECTORS;

	if (w->live != NO_LIVE)
		return w->sector == w->live ? W_USER : W_LIVE;
	if (w->sector < COW_PAGE_SECTORS)
		return page ? W_SLOT0 : W_SLOT0_PART;
	if (w->sector - head->slot1 < COW_PAGE_SECTORS)
		return page ? W_SLOT1 : W_SLOT1_PART;
	if (w->sector == head->prev_place)
		return W_SEAL;
	if (sim->engine && sim->role[w->sector / sim->block_sectors] == ROLE_BACKUP)
		return W_BACKUP;
	return hidden_kind(head, w);
}

/* Is there any of a kind, and is there more than one of ours? */
static u64 pending_kinds(const struct sim *sim, const struct dlist *list)
{
	u64 kinds = 0;
	u32 i;

	for (i = 0; i < list->nr; i++) {
		enum write_kind kind = write_kind(sim, list->w[i]);
		u64 one = 1ULL << (2 * kind);

		kinds |= kind > W_LIVE && (kinds & one) ? 2 * one : one;
	}
	return kinds;
}

static u64 log_state(const struct sim *sim)
{
	const struct cow *cow = &sim->cow;
	const struct cow_head *head = &cow->log.head;

	return head->state | cow->log.newest << 2 | cow_log_full(&cow->log) << 3 |
	       !head->record_count << 4 | !head->seal << 5 |
	       !head->sequence << 6 | !cow->nr_voids << 7 | cow->failed << 8 |
	       cow->passing << 9;
}

static u64 group_state(const struct sim *sim)
{
	const struct cow *cow = &sim->cow;

	return (cow->inflight ? 1 + cow->inflight->stage : 0) |
	       (cow->inflight && cow->inflight->error) << 3 |
	       !cow->gathering->nr_ops << 4 | list_empty(&cow->deferred) << 5 |
	       list_empty(&cow->exclusives) << 6 | cow->voids_first << 7;
}

u64 point_now(const struct sim *sim)
{
	u64 hash = mix(sim->phase, min(sim->sync_step, 31U));

	if (sim->have_cow)
		hash = mix(hash, log_state(sim));
	if (sim->engine)
		hash = mix(hash, 1 + group_state(sim));
	hash = mix(hash, pending_kinds(sim, &sim->disk.done));
	return mix(hash, pending_kinds(sim, &sim->disk.open));
}

u64 point_finish(u32 state, u32 action, u64 step, u32 pending)
{
	u64 hash = mix(~0ULL, state << 8 | action);

	hash = mix(hash, min(step, 31));
	return mix(hash, min(pending, 7U));
}

static u64 *find(u64 point)
{
	u64 at = point % ROOM;

	while (seen[at] && (seen[at] ^ point) >> 1)
		at = (at + 1) % ROOM;
	return &seen[at];
}

bool point_note(u64 point)
{
	u64 *slot;

	if (!seen)
		seen = model_alloc(ROOM * sizeof(*seen));
	slot = find(point | 2);
	if (!*slot) {
		if (stats.points == ROOM / 2)
			return false;
		stats.points++;
		*slot = (point | 2) & ~1ULL;
	}
	return !(*slot & 1);
}

void point_tried(u64 point)
{
	u64 *slot = find(point | 2);

	stats.exhausted += !(*slot & 1);
	*slot |= 1;
}

void points_forget(void)
{
	free(seen);
	seen = NULL;
}
