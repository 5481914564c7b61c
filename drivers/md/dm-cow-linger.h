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
	u32 missing;			/* let go by the last group, and not followed yet */
	u32 expected;			/* the same when the wait began... */
	u32 seen;			/* ...and when it was last looked at */
	u32 futile;			/* how often not to wait after nobody came... */
	u32 skip;			/* ...and how often still */
	u64 until;			/* 0: no wait has begun */
	u64 latest;			/* and whoever comes, not for longer than this */
	u64 closed;			/* when the group in flight was */
	u64 released;			/* when its first write was; 0: one has come since */
	u64 group_ns;			/* between groups, on average */
	u64 back_ns;			/* until the first one comes, on average */
};

void cow_linger_init(struct cow_dev *dev);
void cow_linger_exit(struct cow_dev *dev);
void cow_linger_arrived(struct cow_dev *dev);
void cow_linger_released(struct cow_dev *dev);
void cow_linger_closed(struct cow_dev *dev);
void cow_linger_durable(struct cow_dev *dev);
bool cow_linger(struct cow *cow);

#endif
