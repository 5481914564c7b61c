/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Should a group wait for company? The worker says what happens, the core asks.
 */
#ifndef DM_COW_LINGER_H
#define DM_COW_LINGER_H

#include <linux/hrtimer.h>

#include "dm-cow-env.h"

struct cow;
struct cow_dev;

/* How long a group waits for company: all of it is the worker's. */
struct cow_linger {
	struct hrtimer timer;		/* wakes the worker when it has been long enough */
	u32 missing;			/* let go, and not come back yet */
	u32 seen;			/* the same, when that was last looked at */
	u32 strangers;			/* came though nobody was missing */
	bool in_flight;			/* the group that was closed; none of it let go yet */
	bool timed_out;
	u32 futile;			/* how often not to wait after nobody came... */
	u32 skip;			/* ...and how often still */
	u64 until;			/* 0: no wait has begun */
	u64 latest;			/* and whoever comes, not for longer than this */
	u64 closed;			/* when the group in flight was */
	u64 last;			/* when one came back, or the first one was let go */
	u64 longest;			/* from that to the next one, in this group... */
	u64 gap_ns;			/* ...and on average, but no less than in the last one */
	u64 group_ns;			/* between groups, on average */
};

void cow_linger_init(struct cow_dev *dev);
void cow_linger_exit(struct cow_dev *dev);
void cow_linger_arrived(struct cow_dev *dev);
void cow_linger_released(struct cow_dev *dev);
void cow_linger_closed(struct cow_dev *dev, u32 size);
bool cow_linger(struct cow *cow, u32 ready, u32 reading);

#endif
