/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bow devices. Whatever returns an int returns 0 or an exit status, with the
 * reason told.
 */
#ifndef BOW_DM_H
#define BOW_DM_H

#include <sys/types.h>

#include "dm-task.h"

#define BOW_TARGET "bow"
#define BOW_UUID_PREFIX "BOW-"
#define BOW_WORD 16

struct bow_status {
	char name[BOW_DM_NAME];
	char uuid[BOW_DM_NAME + 2];
	char lower[BOW_DM_NAME];	/* as the table has it, often "8:16" */
	dev_t number;
	u64 sectors;
	int open_count;
	bool suspended;

	/* As in the status line; sizes in blocks. */
	char state[BOW_WORD];
	u32 block_sectors;
	u64 total, free, backup, loose, changed, log;
	u64 copies, collisions, groups, flushes;
	u64 memory, memory_peak;		/* bytes */
	u64 ahead;
	char on_full[BOW_WORD];
	char mode[BOW_WORD];
};

/* @name: of a dm device, or the path of its node. */
int bow_dm_status(const char *name, struct bow_status *st);

/* The same for every bow device; stops at the first result but 0. */
int bow_dm_each(int (*fn)(const struct bow_status *st, void *data), void *data);

/* Is it one of ours, by its table? Needs no bow_dm_open(). Tells nothing. */
bool bow_dm_is_bow(const char *name);

/* The whole of @lower, or its beginning, as it is: no more than a name. */
bool bow_dm_is_linear_on(const char *name, dev_t lower);

int bow_dm_create(const char *name, u64 sectors, const char *params);

/* A device that only has a name of its own: the one below as it is. */
int bow_dm_create_linear(const char *name, u64 sectors, dev_t lower);

#endif
