/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A progress line on stderr, for people only: nothing unless it is a terminal.
 */
#ifndef BOW_PROGRESS_H
#define BOW_PROGRESS_H

#include "dm-cow-env.h"

struct progress {
	const char *what;
	u64 total;		/* sectors; 0: not known */
	double shown;		/* when, ms */
	bool on;
};

void progress_start(struct progress *p, const char *what, u64 total, bool quiet);
void progress_set(struct progress *p, u64 sectors);
/* Wipes the line. */
void progress_end(struct progress *p);

#endif
