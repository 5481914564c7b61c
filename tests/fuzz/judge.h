/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is judged, for those who do.
 */
#ifndef FUZZ_JUDGE_H
#define FUZZ_JUDGE_H

#include "fuzz.h"

/* The input; what a restore makes of it; all else. */
extern struct disk given, restored, work;
extern struct cow_picture before;	/* of the input, everything checked */
extern struct cow cow;
extern struct input input;

/* What the tools end with. */
enum { NO_LOG = 0, DONE = 1, DAMAGED = 4, REFUSED = 16 };

enum cow_log_error read_log(struct disk *disk, struct cow_picture *pic,
			    enum cow_picture_depth depth);
enum cow_log_error verdict(struct disk *disk, enum cow_picture_depth depth);
bool is_original(u64 block);
int restore(struct disk *disk);
int commit(struct disk *disk, struct cow_head *head, bool all);
/* After a cut: is there nothing left to be done? */
bool ended(const struct disk *disk);
void check_same(const struct disk *a, const struct disk *b, const char *what);
void check_no_resume(void);

/* ---- of snapshots: apart.c ------------------------------------------------------- */

bool apart_meets_store(void);
void apart_check_restored(void);
void apart_check_like_restored(const char *when);
void apart_check_ended(const char *when);
int apart_resume(struct disk *disk, struct cow_picture *pic);
void apart_check_resume(void);
void apart_check_refused(void);
void apart_try_inside(void);

#endif
