/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Crash states made from a recording of the real kernel modules.
 *
 *	recording.c	what dm-log-writes has left: writes, flushes, marks
 *	image.c		the device in memory; every write to it can be taken back
 *	judge.c		restore and commit, in this process, with cuts
 *	tool.c		the same by the programs: bow, blksnap, e2fsck
 *	base.c		a run that begins with a crash state of another one
 *	epochs.c	what stands between two flushes
 *	replay.c	options, which states to make, figures
 *
 * Everything random in a state follows from the seed, the number of its epoch
 * and its own number there, so one state can be made again on its own.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include <stdio.h>

#include "common/random.h"
#include "dm-cow-finish.h"

#define SECTOR 512U
#define NOWHERE (~0U)

/* ---- the recording ------------------------------------------------------- */

enum entry_flags {
	ENTRY_FLUSH = 1,
	ENTRY_FUA = 2,
	ENTRY_DISCARD = 4,
	ENTRY_MARK = 8,
	ENTRY_META = 16,
	ENTRY_GAP = 32,		/* not of dm-log-writes: the origin was suspended */
};

struct entry {
	u32 sector;
	u32 nr;
	u32 flags;
	const u8 *data;		/* NULL: zeroes */
};

/* Written by the recording script between two of its steps. */
enum point {
	POINT_TAKE,		/* all is frozen; the checkpoint message comes next */
	POINT_TAKEN,		/* it has returned */
				/* or: the table is loaded with resume; it is live */
	POINT_COMMIT,		/* the commit message comes next; or what ends the log */
	POINT_COMMITTED,	/* it has returned */
	NR_POINTS,
};

struct recording {
	const char *path;
	u32 sectors;		/* of the device that bow was on; of origin and store */
	u32 origin_sectors;	/* what is behind them is the store */
	struct entry *entries;
	u32 nr;
	u32 point[NR_POINTS];	/* index of the entry, or NOWHERE */
	u32 suspended;		/* while it is read: ENTRY_GAP, or 0 */
	u32 flushes;
	u32 fuas;
};

void recording_open(struct recording *rec, const char *path, u64 device_bytes);

/* Of a disk in two parts each is flushed on its own. */
enum { PART_ORIGIN, PART_STORE, NR_PARTS };

static inline bool has_store(const struct recording *rec)
{
	return rec->origin_sectors < rec->sectors;
}

static inline unsigned int part_of(const struct recording *rec, const struct entry *entry)
{
	return entry->sector < rec->origin_sectors ? PART_ORIGIN : PART_STORE;
}

/* ---- the device ---------------------------------------------------------- */

struct image {
	struct cow_io io;
	u32 sectors;
	u32 origin_sectors;	/* the store's are behind them */
	u8 *data;
	u8 *since;		/* sector: written since the checkpoint */
	u64 *sum;		/* sector: its part of the hash */
	u64 hash;		/* of all, as far as it is kept up to date */
	bool hashing;
	bool tearing;		/* what is tried is part of a torn write of metadata */
	struct undo *undo;	/* writes that can be taken back */
	u32 nr_undo;
	u32 undo_room;

	/* Writes through io: the volatile cache, and the power cut. */
	struct rng *rng;
	u32 flushed;		/* in undo: what follows is not durable */
	u32 nr_writes;
	u32 ios;
	u32 cut_at;		/* the operation at which the power goes, or ~0 */
	bool dead;
};

struct undo {
	u32 sector;
	u32 write;		/* number of the write it is a part of */
	bool hashed;
	bool torn;
	u64 sum;
	u8 old[SECTOR];
	u8 fresh[SECTOR];
};

void image_init(struct image *img, u32 sectors, u32 origin_sectors);
void image_exit(struct image *img);
/* For good. */
void image_apply(struct image *img, u32 sector, const u8 *data, u32 nr);
/* Until image_back() to what nr_undo was before. */
void image_try(struct image *img, u32 sector, const u8 *data);
void image_back(struct image *img, u32 to);
/* The power comes back; of what was in the cache some is there, some is not. */
void image_revive(struct image *img);

/* ---- epochs -------------------------------------------------------------- */

struct epoch {
	u32 start, end;		/* entries */
	u32 nr, nr_fua;		/* writes that a flush must save; that need none */
	bool unclear;		/* which of two writes was the last */
};

struct epochs {
	const struct recording *rec;
	struct image *img;	/* gets what is there for good */
	struct epoch *list;
	u32 nr;
	u32 first;		/* the first one after the point "take" */
	u32 unclear;		/* of those */
	bool through;		/* no volatile cache */

	/* At hand. */
	const struct epoch *at;
	const struct entry **writes;	/* of which some may be missing */
	const struct entry **fuas;
	u32 nr_writes, nr_fuas;
	u32 nr_carried;		/* of the writes: older than the epoch */
};

void epochs_init(struct epochs *epochs, const struct recording *rec, struct image *img);
/* The image is what it was before the first entry. */
void epochs_restart(struct epochs *epochs);
/* One after the other. */
void epochs_enter(struct epochs *epochs, u32 nr);

/* ---- the verdict --------------------------------------------------------- */

struct figures {
	u64 states, distinct, exhaustive, sampled, torn;
	u64 entering, resuming, active, suspended, committing, committed;
	u64 no_log, restores, commits, finished, pending_voids, dropped_tails;
	u64 restore_cuts, commit_cuts, tool_restores, tool_commits, tool_cuts;
	u64 fsck_back, fsck_live, torn_supers, view_checks;
};

struct run {
	struct recording rec;
	struct image img;
	u8 *snap;		/* the device at the checkpoint */
	u8 *was_free;		/* block: free then */
	u8 *base;		/* the device when this began, or NULL: all zero */
	u8 *view;		/* what was to be read at the commit, or NULL */
	u8 *view_free;		/* block: nothing to be read there */
	u64 seed;
	const char *program;	/* bow, or blksnap */
	const char *scratch;	/* a file of its own, for the programs */
	const char *failed;	/* where a failing state is left */
	u32 tool_share;		/* one state in so many, 0: none */
	struct figures figures;

	/* The state being judged. */
	struct rng rng;
	u32 epoch, state;
	char what[512];
	bool may_have_none;	/* no log */
	bool must_have_none;
	bool untouched;		/* nothing was written since it was taken */
	bool unsettled;		/* what was written before that may be missing */
	bool may_commit;
};

/* Reports, leaves the state in a file, exits. */
void fail(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));
void die(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
void *need(size_t size);

void judge_state(struct run *run);
/* Records of the log on the image whose backups are missing; NOWHERE: no log. */
u32 missing_backups(struct run *run);
/* The free map of the log on the image, as blocks; false if there is no log. */
bool read_free_map(struct image *img, u8 *was_free);
/* First sector that is not what it was at the checkpoint, or NOWHERE. */
u32 not_rolled_back(const struct run *run, const u8 *data);
/* First sector with something in it that differs from the view, or NOWHERE. */
u32 not_as_viewed(const struct run *run, const u8 *data);

/* The state on the image, and the checkpoint it is of, for a run that goes on. */
void base_save(const struct run *run, const char *path, const char *checkpoint);
void base_load(struct run *run, const char *path, const char *checkpoint);
/* The log that goes on is that of the checkpoint. */
void base_check(struct run *run);
/* Which sectors of the image are not what they were at the checkpoint? */
void base_note_since(struct run *run);
u8 *read_file(const char *path, u64 *size);

/* @commit: no log on a store is ever committed. */
void tool_judge(struct run *run, bool commit, const struct cow_head *head);
/* Blocks that the ext4 on @data has not allocated. */
void read_ext4_free(const struct run *run, const u8 *data, u8 *free);
void fsck_clean(struct run *run, const u8 *data);
/* @block0: where the newest version of block 0 lies, sector */
void fsck_live(struct run *run, const u8 *data, u32 block0);

#endif
