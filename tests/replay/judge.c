// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the code of restore and commit makes of a state, bit for bit.
 */
#include "replay.h"

#define BLOCK_SECTORS 8U
#define MAX_CUTS 3U

static bool differs(const u8 *a, const u8 *b, u32 sector)
{
	size_t at = (size_t)sector * SECTOR;

	return memcmp(a + at, b + at, SECTOR);
}

/* What must come back: no free space, and nothing of a store. */
static bool changed(const struct run *run, const u8 *data, u32 sector)
{
	return sector < run->rec.origin_sectors && !run->was_free[sector / BLOCK_SECTORS] &&
	       differs(data, run->snap, sector);
}

u32 not_rolled_back(const struct run *run, const u8 *data)
{
	u32 s;

	for (s = 0; s < run->rec.origin_sectors; s++)
		if (changed(run, data, s))
			return s;
	return NOWHERE;
}

u32 not_as_viewed(const struct run *run, const u8 *data)
{
	u32 s;

	for (s = 0; s < run->rec.sectors; s++)
		if (!run->view_free[s / BLOCK_SECTORS] && differs(data, run->view, s))
			return s;
	return NOWHERE;
}

/*
 * The same for the image, where only what has been written to since the
 * checkpoint can be different: for good, or by this state.
 */
static u32 image_not_rolled_back(const struct run *run)
{
	const struct image *img = &run->img;
	u32 i, s;

	for (s = 0; s < img->sectors; s++)
		if (img->since[s] && changed(run, img->data, s))
			return s;
	for (i = 0; i < img->nr_undo; i++)
		if (changed(run, img->data, img->undo[i].sector))
			return img->undo[i].sector;
	return NOWHERE;
}

static void must_be_rolled_back(struct run *run, const char *when)
{
	u32 s = image_not_rolled_back(run);

	if (s != NOWHERE)
		fail(run, "%s: sector %u (block %u) is not as it was at the checkpoint",
		     when, s, s / BLOCK_SECTORS);
}

static void must_be_as_viewed(struct run *run, const char *when)
{
	u32 s;

	if (!run->view)
		return;
	s = not_as_viewed(run, run->img.data);
	if (s != NOWHERE)
		fail(run, "%s: sector %u (block %u) is not as it was when the commit was sent",
		     when, s, s / BLOCK_SECTORS);
	run->figures.view_checks++;
}

/* ---- a commit ------------------------------------------------------------ */

/* What a commit may change, and what it must put where. */
struct plan {
	u32 block_sectors;
	u32 slot1;
	u32 nr_hidden;
	u32 hidden[COW_MAX_HIDDEN];
	u8 *live[COW_MAX_HIDDEN];
};

static void plan_commit(struct run *run, const struct cow_head *head,
			struct plan *plan)
{
	size_t len = head->block_sectors * SECTOR;
	u32 i;

	plan->block_sectors = head->block_sectors;
	plan->slot1 = (u32)head->slot1;
	plan->nr_hidden = head->hidden_count;
	for (i = 0; i < plan->nr_hidden; i++) {
		plan->hidden[i] = (u32)head->hidden[i].source;
		plan->live[i] = need(len);
		memcpy(plan->live[i], run->img.data + head->hidden[i].live * SECTOR, len);
	}
}

static bool planned(const struct plan *plan, u32 sector)
{
	u32 i;

	if (sector - plan->slot1 < plan->block_sectors)
		return true;
	for (i = 0; i < plan->nr_hidden; i++)
		if (sector - plan->hidden[i] < plan->block_sectors)
			return true;
	return false;
}

static void must_be_committed(struct run *run, struct plan *plan, u32 before)
{
	const struct image *img = &run->img;
	u32 i;

	for (i = before; i < img->nr_undo; i++)
		if (!planned(plan, img->undo[i].sector))
			fail(run, "commit wrote to sector %u", img->undo[i].sector);
	for (i = 0; i < plan->nr_hidden; i++) {
		if (memcmp(img->data + (size_t)plan->hidden[i] * SECTOR, plan->live[i],
			   plan->block_sectors * SECTOR))
			fail(run, "commit: the hidden block at sector %u is not what was live",
			     plan->hidden[i]);
		free(plan->live[i]);
	}
}

/* ---- restore and commit, cut --------------------------------------------- */

static void refused(struct run *run, const struct cow_picture *pic)
{
	const struct cow_complaint *complaint = &pic->complaint;

	fail(run, "the log is refused: %s (page %llu at sector %llu, record %d, source %llu)",
	     cow_log_strerror(complaint->error),
	     (unsigned long long)complaint->sequence,
	     (unsigned long long)complaint->page_sector, complaint->record,
	     (unsigned long long)complaint->source);
}

/* False if there is no log. */
static bool look(struct run *run, struct cow_picture *pic)
{
	enum cow_log_error error;

	if (cow_picture_init(pic, &run->img.io))
		die("out of memory");
	error = cow_picture_read(pic, COW_CHECK_ALL);
	if (error == COW_LOG_NO_MAGIC)
		return false;
	if (error && pic->log.head.state != COW_LOG_COMMITTING)
		refused(run, pic);
	return true;
}

/* To the end, or until the power goes. */
static void try_to_end(struct run *run, struct cow_picture *pic, bool commit,
		       bool cut)
{
	struct image *img = &run->img;
	int r;

	img->ios = 0;
	if (cut)
		img->cut_at = rnd(&run->rng, 10 + (commit ? 0 : 2 * (u32)pic->nr_backups));
	r = commit ? cow_commit(&pic->log, &pic->geo, &img->io, pic->buf) :
		     cow_restore(pic, NULL, NULL);
	if (!r) {
		img->cut_at = ~0U;
		return;
	}
	if (!img->dead)
		fail(run, "%s: %s", commit ? "commit" : "restore", strerror(-r));
	image_revive(img);
	if (commit)
		run->figures.commit_cuts++;
	else
		run->figures.restore_cuts++;
}

/* A cut state may have become one that only goes one way. */
static void check_direction(struct run *run, const struct cow_picture *pic,
			    bool commit)
{
	u32 wrong = commit ? COW_LOG_RESTORING : COW_LOG_COMMITTING;

	if (pic->log.head.state == wrong)
		fail(run, "state %u after a cut in %s", wrong,
		     commit ? "commit" : "restore");
}

/* @pic: the log as it is now. Until there is none any more. */
static void end_it(struct run *run, struct cow_picture *pic, bool commit)
{
	u32 cuts = one_in(&run->rng, 2) ? rnd(&run->rng, MAX_CUTS + 1) : 0;
	struct cow_picture next;

	try_to_end(run, pic, commit, cuts > 0);
	while (look(run, &next)) {
		cuts -= !!cuts;
		check_direction(run, &next, commit);
		try_to_end(run, &next, commit, cuts > 0);
		cow_picture_exit(&next);
	}
	cow_picture_exit(&next);
}

static void judge_restore(struct run *run, struct cow_picture *pic)
{
	u32 before = run->img.nr_undo;

	end_it(run, pic, false);
	must_be_rolled_back(run, "restored");
	run->figures.restores++;
	image_back(&run->img, before);
}

static void judge_commit(struct run *run, const struct cow_head *head)
{
	u32 before = run->img.nr_undo;
	struct cow_picture pic;
	struct plan plan;

	plan_commit(run, head, &plan);
	look(run, &pic);
	end_it(run, &pic, true);
	cow_picture_exit(&pic);
	must_be_committed(run, &plan, before);
	if (head->state == COW_LOG_COMMITTING)
		must_be_as_viewed(run, "commit finished");
	run->figures.commits++;
	image_back(&run->img, before);
}

/* ---- a state ------------------------------------------------------------- */

static void judge_no_log(struct run *run)
{
	if (!run->may_have_none)
		fail(run, "there is no log");
	run->figures.no_log++;
	if (run->untouched && !run->unsettled)
		must_be_rolled_back(run, "no log yet");
	else if (run->may_commit && !run->must_have_none) /* or else the filesystem has gone on */
		must_be_as_viewed(run, "committed by the kernel");
	if (run->may_commit && !has_store(&run->rec) && one_in(&run->rng, run->tool_share))
		fsck_live(run, run->img.data, 0);
}

/* An end of a log on a store is never left half done; it only erases the header. */
static void judge_log_apart(struct run *run, struct cow_picture *pic)
{
	struct cow_head head = pic->log.head;

	if (run->must_have_none)
		fail(run, "there is a log");
	if (head.state != COW_LOG_CHECKPOINT)
		fail(run, "the log is in state %u", head.state);
	if (one_in(&run->rng, run->tool_share))
		tool_judge(run, false, &head);
	judge_restore(run, pic);
}

static void judge_log_within(struct run *run, struct cow_picture *pic)
{
	struct cow_head head = pic->log.head;
	bool commit = head.state == COW_LOG_COMMITTING;

	if (run->must_have_none)
		fail(run, "there is a log, in state %u", head.state);
	if (head.state == COW_LOG_RESTORING || (commit && !run->may_commit))
		fail(run, "the log is in state %u", head.state);
	run->figures.finished += commit;
	if (one_in(&run->rng, run->tool_share))
		tool_judge(run, commit || one_in(&run->rng, 2), &head);
	if (!commit)
		judge_restore(run, pic);
	if (commit || one_in(&run->rng, 4))
		judge_commit(run, &head);
}

static void judge_log(struct run *run, struct cow_picture *pic)
{
	run->figures.pending_voids += !!pic->nr_voids;
	run->figures.dropped_tails += pic->dropped_tail;
	if (has_store(&run->rec))
		judge_log_apart(run, pic);
	else
		judge_log_within(run, pic);
}

void judge_state(struct run *run)
{
	struct cow_picture pic;
	u32 before = run->img.nr_undo;

	run->img.rng = &run->rng;
	run->img.flushed = before;
	/* Log or not, what the filesystem has flushed is on its device. */
	if (has_store(&run->rec) && one_in(&run->rng, run->tool_share))
		fsck_live(run, run->img.data, 0);
	if (look(run, &pic))
		judge_log(run, &pic);
	else
		judge_no_log(run);
	cow_picture_exit(&pic);
	image_back(&run->img, before);
}

u32 missing_backups(struct run *run)
{
	struct cow_picture pic;
	u32 nr = look(run, &pic) ? pic.nr_voids : NOWHERE;

	cow_picture_exit(&pic);
	return nr;
}

bool read_free_map(struct image *img, u8 *was_free)
{
	struct cow_picture pic;
	struct cow_range *range;
	bool good;

	if (cow_picture_init(&pic, &img->io))
		die("out of memory");
	good = !cow_picture_read(&pic, COW_CHECK_ALL);
	if (good && pic.geo.block_sectors != BLOCK_SECTORS)
		die("blocks of %u sectors", pic.geo.block_sectors);
	for (range = cow_ranges_first(&pic.free); good && range;
	     range = cow_ranges_next(range))
		memset(was_free + range->start, 1, range->nr);
	cow_picture_exit(&pic);
	return good;
}
