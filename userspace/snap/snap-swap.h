/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another table for a live dm device, with or without a device between.
 */
#ifndef SNAP_SWAP_H
#define SNAP_SWAP_H

#include "critical.h"
#include "snap.h"

struct snap_swap {
	const char *name;		/* of the device whose table it is */
	const char *old_table;
	const char *new_table;		/* NULL: an origin over @real... */
	const char *features;		/* ...with these; or NULL */

	/* "", or a device that takes over the old table. */
	char real[BOW_DM_NAME];
	char real_uuid[BOW_DM_NAME + 2];
	bool create_real;		/* else it is there, and goes */

	enum critical_point wait;	/* testing */
	double ms;			/* out */
	int error;			/* out: errno; EINTR if it was undone for a signal */
};

/* 0 or an exit status; if it failed, nothing has changed. */
int snap_swap(struct snap_swap *swap);

/* Where a table ends: the size of the device, in sectors. */
u64 snap_table_end(const char *table);

#endif
