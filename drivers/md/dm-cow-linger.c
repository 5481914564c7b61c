// SPDX-License-Identifier: GPL-2.0-only
/*
 * Should a group that could be written wait for company?
 *
 * While a group is in flight, its writers are silent; the others gather in the next
 * one. So whoever keeps 32 writes outstanding would pay for a flush with every 16 of
 * them. It pays to wait a little: for as many new writes as the last group has let
 * go, but for no longer than a part of what a group takes on this device. Who does not
 * come back is not waited for the next times.
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
	*mean += ((s64)min_t(u64, value, MAX_TAKES_NS) - (s64)*mean) / 8;
}

void cow_linger_arrived(struct cow_dev *dev)
{
	struct cow_linger *linger = &dev->linger;

	if (!linger->missing)
		return;
	linger->missing--;
	if (linger->released)
		average(&linger->back_ns, ktime_get_ns() - linger->released);
	linger->released = 0;
}

void cow_linger_released(struct cow_dev *dev)
{
	struct cow_linger *linger = &dev->linger;

	if (!linger->missing++)
		linger->released = ktime_get_ns();
}

/* The group is being written. */
void cow_linger_closed(struct cow_dev *dev)
{
	struct cow_linger *linger = &dev->linger;
	u64 now = ktime_get_ns();

	average(&linger->group_ns, now - linger->closed);
	linger->closed = now;
	if (linger->until) {
		/* Most of them must have come. */
		if (linger->missing > linger->expected / 4)
			linger->futile = min_t(u32, 2 * linger->futile + 1, MAX_SKIP);
		else
			linger->futile = 0;
		linger->skip = linger->futile;
	} else if (linger->skip) {
		linger->skip--;
	}
	linger->until = 0;
	linger->missing = 0;
}

/* The group is durable; those who wait for it are let go next. */
void cow_linger_durable(struct cow_dev *dev)
{
	dev->linger.missing = 0;
}

bool cow_linger(struct cow *cow)
{
	struct cow_dev *dev = cow_to_dev(cow);
	struct cow_linger *linger = &dev->linger;
	u64 now;

	if (!linger->missing || linger->skip)
		return false;
	now = ktime_get_ns();
	if (!linger->until) {
		/* Else who comes by himself, as often as that, would make groups grow. */
		linger->expected = linger->seen = linger->missing;
		linger->latest = now + linger->group_ns / 2;
	}
	if (!linger->until || linger->missing < linger->seen) {
		linger->until = min(now + 2 * linger->back_ns, linger->latest);
		linger->seen = linger->missing;
	}
	if (now >= linger->until)
		return false;
	/* Each time: whoever waits must be sure that it ends. */
	hrtimer_start(&linger->timer, ns_to_ktime(linger->until - now), HRTIMER_MODE_REL);
	return true;
}
