/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table line of a bow device.
 */
#ifndef BOW_TABLE_H
#define BOW_TABLE_H

#include <sys/types.h>

#include "offline.h"

#define BOW_PARAMS 512

struct bow_table {
	const char *on_full;	/* NULL: the target's default */
	u64 block_size;		/* bytes; 0: the target's default */
	u64 low_water;
	bool has_low_water;
	bool resume;
};

/* All after "bow". */
void bow_table_params(const struct bow_table *table, dev_t lower,
		      char params[BOW_PARAMS]);

/* 4K to 1M, a power of two. */
bool bow_table_block_size(const char *text, u64 *bytes);

/* The word for a policy, one that stays; NULL if it is none. */
const char *bow_table_policy(const char *text);

/*
 * The log's block size is the only one it can go on with: 0, or a refusal, told, if
 * another one was asked for.
 */
int bow_table_resume(struct bow_table *table, const struct offline *off);

#endif
