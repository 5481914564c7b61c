/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device-mapper, as far as bow needs it. Whatever returns an int returns 0
 * or an exit status, with the reason told.
 */
#ifndef BOW_DM_H
#define BOW_DM_H

#include <sys/types.h>

#include "dm-cow-env.h"

#define BOW_TARGET "bow"
#define BOW_UUID_PREFIX "BOW-"
#define BOW_DM_NAME 128
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
	char on_full[BOW_WORD];
	char mode[BOW_WORD];
};

/* Is there a device-mapper at all? First of all calls. */
int bow_dm_open(void);

/* Does the kernel have our target? Loads its module. */
int bow_dm_need_target(void);

/* @name: of a dm device, or the path of its node. */
int bow_dm_status(const char *name, struct bow_status *st);

/* The same for every bow device; stops at the first result but 0. */
int bow_dm_each(int (*fn)(const struct bow_status *st, void *data), void *data);

/* Is there a dm device of that name or node at all? Tells nothing. */
bool bow_dm_exists(const char *name);

/* Is it one of ours, by its table? Needs no bow_dm_open(). Tells nothing. */
bool bow_dm_is_bow(const char *name);

int bow_dm_create(const char *name, u64 sectors, const char *params);
int bow_dm_remove(const char *name);

/*
 * A message to a live device. Returns 0 or -errno and tells nothing: only the
 * caller knows what the errors mean.
 */
int bow_dm_message(const char *name, const char *message);

/* Print what libdevmapper had to say, if anything. */
void bow_dm_print_log(void);

#endif
