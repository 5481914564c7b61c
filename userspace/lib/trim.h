/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Collecting the free space of a bow device. Whatever returns an int returns 0 or an
 * exit status, with the reason told.
 */
#ifndef BOW_TRIM_H
#define BOW_TRIM_H

#include "dm.h"
#include "mnt.h"

struct trim {
	struct bow_status before, after;
	struct mount mnt;
	bool mounted;
	u64 free_bytes;		/* as the filesystem says */
	u64 offered_bytes;	/* as FITRIM says, or by the bitmaps */
};

/*
 * A directory means what is mounted there, anything else names a device. Fills
 * @trim->before; free @trim->mnt in either case.
 */
int trim_find(struct trim *trim, const char *what);

/* Have the filesystem offer what is free; @trim->after is for the caller to fill. */
int trim_run(struct trim *trim);

/* Bytes; and whether that is much less than there should be, and why. */
u64 trim_collected(const struct trim *trim);
bool trim_falls_short(const struct trim *trim);
void trim_warn(const struct trim *trim);

#endif
