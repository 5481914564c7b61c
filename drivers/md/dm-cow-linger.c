// SPDX-License-Identifier: GPL-2.0-only
/*
 * Should a group that could be written wait for company?
 *
 * While a group is in flight, its writers are silent; the others gather in the next
 * one. So whoever keeps 32 writes outstanding would pay for a flush with every 16 of
 * them. It pays to wait a little for those who have just been let go, until three of
 * four are there. Not for all: while the others come, this group is written.
 *
 * The same goes for those who are there, but whose old contents are still being read.
 *
 * Nobody is waited for longer than a part of what a group takes on this device, and who
 * does not come back is not waited for the next times. Nor is anybody, if there are many
 * who come though nobody was missing: who waits for them waits for ever more.
 */
#include <linux/ktime.h>

#include "dm-cow-compat.h"
#include "dm-cow-dev.h"

#define MAX_TAKES_NS (4 * NSEC_PER_MSEC)	/* more is not told apart */
#define MAX_SKIP 15

static enum hrtimer_restart over(struct hrtimer *timer)
{
	struct cow_linger *linger = container_of(timer, struct cow_linger, timer);

	cow_dev_kick(container_of(linger, struct cow_dev, linger));
	return HRTIMER_NORESTART;
}

void cow_linger_init(struct cow_dev *dev)
{
	cow_hrtimer_setup(&dev->linger.timer, over);
}

void cow_linger_exit(struct cow_dev *dev)
{
	hrtimer_cancel(&dev->linger.timer);
}

/* A moving average over some eight values. */
static void average(u64 *mean, u64 value)
{
	value = min_t(u64, value, MAX_TAKES_NS);
	*mean += *mean ? ((s64)value - (s64)*mean) / 8 : value;
}

/* The same, but no smaller than the last value. */
static void high_average(u64 *mean, u64 value)
{
	average(mean, value);
	*mean = max_t(u64, *mean, min_t(u64, value, MAX_TAKES_NS));
}

void cow_linger_arrived(struct cow_dev *dev)
{
	struct cow_linger *linger = &dev->linger;

	u64 now = ktime_get_ns();

	if (linger->missing) {
		linger->missing--;
		linger->longest = max(linger->longest, now - linger->last);
	} else {
		linger->strangers++;
	}
	linger->last = now;
}

void cow_linger_released(struct cow_dev *dev)
{
	struct cow_linger *linger = &dev->linger;

	linger->missing++;
	if (linger->in_flight)
		linger->last = ktime_get_ns();
	linger->in_flight = false;
}

/* Did the wait that is over serve its purpose? */
static void judge(struct cow_linger *linger, u32 size)
{
	if (linger->timed_out)	/* who never comes is forgotten, others are not */
		linger->missing -= DIV_ROUND_UP(linger->missing, 8);
	if (linger->timed_out || linger->strangers > size / 8)
		linger->futile = min_t(u32, 2 * linger->futile + 1, MAX_SKIP);
	else
		linger->futile = 0;
	linger->skip = linger->futile;
}

/* The group, of so many copies, is being written. */
void cow_linger_closed(struct cow_dev *dev, u32 size)
{
	struct cow_linger *linger = &dev->linger;
	u64 now = ktime_get_ns();

	average(&linger->group_ns, now - linger->closed);
	linger->closed = now;
	high_average(&linger->gap_ns, linger->longest);
	linger->longest = 0;
	if (linger->until)
		judge(linger, size);
	else if (linger->skip)
		linger->skip--;
	linger->until = 0;
	linger->timed_out = false;
	linger->strangers = 0;
	linger->in_flight = true;
}

/* Is it still worth it? Then the worker is woken when it is not. */
static bool may_still_come(struct cow_linger *linger, u32 missing)
{
	u64 now = ktime_get_ns();

	if (!linger->until)
		/* Else who comes by himself, as often as that, would make groups grow. */
		linger->latest = now + linger->group_ns;
	if (!linger->until || missing < linger->seen) {
		linger->until = linger->gap_ns ?
			min(now + 2 * linger->gap_ns, linger->latest) : linger->latest;
		linger->seen = missing;
	}
	linger->timed_out = now >= linger->until;
	if (linger->timed_out)
		return false;
	/* Each time: whoever waits must be sure that it ends. */
	hrtimer_start(&linger->timer, ns_to_ktime(linger->until - now), HRTIMER_MODE_REL);
	return true;
}

static bool enough(u32 ready, u32 others)
{
	return 3 * others <= ready;
}

bool cow_linger(struct cow *cow, u32 ready, u32 reading)
{
	struct cow_linger *linger = &cow_to_dev(cow)->linger;
	u32 missing = cow->unlogged || linger->skip ? 0 : linger->missing;

	if (missing && !enough(ready, reading + missing) && may_still_come(linger, missing))
		return true;
	return !enough(ready, reading);
}
