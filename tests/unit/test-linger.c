// SPDX-License-Identifier: GPL-2.0-only
/*
 * For how long groups wait for company: with a clock and a timer of its own.
 */
#include "unit.h"
#include "dm-cow-linger.h"

/* In place of what only the kernel has. */
#define DM_COW_COMPAT_H
#define DM_COW_DEV_H

typedef int64_t s64;

#define NSEC_PER_MSEC 1000000L
#define ns_to_ktime(ns) (ns)
#define cow_hrtimer_setup(timer, fn) ((timer)->over = (fn))
#define hrtimer_cancel(timer) ((timer)->at = 0)

struct cow {
	bool unlogged;
};

struct cow_dev {
	struct cow_linger linger;
};

static u64 now;
static struct cow cow;
static struct cow_dev dev;

static u64 ktime_get_ns(void)
{
	return now;
}

static void hrtimer_start(struct hrtimer *timer, u64 ns, int mode)
{
	assert_int_equal(mode, HRTIMER_MODE_REL);
	timer->at = now + ns;
}

static void cow_dev_kick(struct cow_dev *of)
{
	assert_ptr_equal(of, &dev);
}

static struct cow_dev *cow_to_dev(struct cow *of)
{
	assert_ptr_equal(of, &cow);
	return &dev;
}

#include "dm-cow-linger.c"

/* ---- a worker, a device, and those who write ------------------------------ */

#define USEC 1000ULL
#define READ_NS (60 * USEC)
#define ROOM 170	/* records on a page */
#define WRITERS 1024

static u64 group_takes;
static u64 arrives[WRITERS];	/* the next write of each; ~0: it waits for a group */
static u64 came[WRITERS];	/* when that one did */
static u64 is_read[WRITERS];	/* when the old contents are, that it waits for */
static int in[WRITERS];		/* the group it waits for: 0 none, 1 gathering, 2 in flight */
static u64 think;		/* from the release to the next write; 0: writes come anyway */
static u64 interval;		/* ...then one each that many */
static u64 serial;		/* what each write takes of the one processor of all writers */
static u64 processor_free;
static unsigned int writers;
static u64 durable_at;
static u64 writes, groups, waited, longest;

static void let_go(unsigned int i)
{
	waited += now - came[i];
	longest = max(longest, now - came[i]);
	writes++;
	in[i] = 0;
	arrives[i] = think ? now + think + rnd(&rng, think) : ~0ULL;
	if (serial) {
		processor_free = max(processor_free, now + think) + serial;
		arrives[i] = processor_free;
	}
	cow_linger_released(&dev);
}

static unsigned int count(bool ready)
{
	unsigned int i, nr = 0;

	for (i = 0; i < writers; i++)
		nr += in[i] == 1 && (is_read[i] <= now) == ready;
	return nr;
}

static void worker(void)
{
	unsigned int i, ready, reading;

	if (durable_at && durable_at <= now) {
		durable_at = 0;
		for (i = 0; i < writers; i++)
			if (in[i] == 2)
				let_go(i);
	}
	for (i = 0; i < writers; i++)
		if (!in[i] && arrives[i] <= now) {
			came[i] = now;
			in[i] = 1;
			arrives[i] = ~0ULL;
			is_read[i] = now + READ_NS;
			cow_linger_arrived(&dev);
		}
	ready = count(true);
	reading = count(false);
	if (durable_at || !ready)
		return;
	if (ready < ROOM && cow_linger(&cow, ready, reading)) {
		/* Nobody else would look again. */
		assert_true(reading || dev.linger.timer.at > now);
		return;
	}
	cow_linger_closed(&dev, ready);
	for (i = 0; i < writers; i++)
		if (in[i] == 1 && is_read[i] <= now)
			in[i] = 2;
	durable_at = now + group_takes;
	groups++;
}

static u64 next_event(u64 next_write)
{
	u64 next = next_write;
	unsigned int i;

	for (i = 0; i < writers; i++)
		if (!in[i])
			next = min(next, arrives[i]);
		else if (in[i] == 1 && is_read[i] > now)
			next = min(next, is_read[i]);
	if (durable_at)
		next = min(next, durable_at);
	if (dev.linger.timer.at)
		next = min(next, dev.linger.timer.at);
	return next;
}

static void run(u64 duration)
{
	u64 end = now + duration, next_write = think ? ~0ULL : now;
	unsigned int i;

	writes = groups = waited = longest = 0;
	while (now < end) {
		now = max(now, next_event(next_write));
		if (dev.linger.timer.at && dev.linger.timer.at <= now) {
			dev.linger.timer.at = 0;
			dev.linger.timer.over(&dev.linger.timer);
		}
		if (now >= next_write) {
			for (i = 0; i < writers && (in[i] || arrives[i] <= now); i++)
				;
			if (i < writers)
				arrives[i] = now;
			next_write += 1 + rnd(&rng, 2 * interval);
		}
		worker();
	}
}

static int setup(void **data)
{
	unsigned int i;

	(void)data;
	memset(&dev, 0, sizeof(dev));
	now = 1000 * NSEC_PER_MSEC;
	durable_at = serial = processor_free = 0;
	writers = WRITERS;
	for (i = 0; i < WRITERS; i++) {
		in[i] = 0;
		arrives[i] = ~0ULL;
	}
	cow_linger_init(&dev);
	return 0;
}

static void start_writers(unsigned int nr)
{
	unsigned int i;

	setup(NULL);
	writers = nr;
	for (i = 0; i < nr; i++)
		arrives[i] = now + i * USEC;
}

/* Who writes again when let go shares a flush with the others. */
static void those_who_come_back_are_waited_for(void **data)
{
	static const u64 takes[] = { 100 * USEC, 500 * USEC, 2500 * USEC };
	unsigned int i;

	(void)data;
	think = 60 * USEC;
	for (i = 0; i < ARRAY_SIZE(takes); i++) {
		group_takes = takes[i];
		start_writers(32);
		run(100 * NSEC_PER_MSEC);
		run(1000 * NSEC_PER_MSEC);
		assert_true(writes > 23 * groups);
		assert_true(longest < 2 * (takes[i] + READ_NS + 2 * think));
	}
}

/* One thread sends all of them: it goes on while a group is being written. */
static void most_of_them_will_do(void **data)
{
	static const struct {
		u64 takes, each;
	} cases[] = {
		{ 60 * USEC, 25 * USEC }, { 60 * USEC, 45 * USEC }, { 300 * USEC, 30 * USEC },
		{ 1100 * USEC, 40 * USEC }, { 1100 * USEC, 90 * USEC }, { 3000 * USEC, 90 * USEC },
	};
	unsigned int i;

	(void)data;
	think = 20 * USEC;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 together, apart;

		group_takes = cases[i].takes;
		start_writers(32);
		serial = cases[i].each;
		run(100 * NSEC_PER_MSEC);
		run(1000 * NSEC_PER_MSEC);
		/* All in one group; or as fast as that one thread can send them. */
		together = 32 * 1000 * NSEC_PER_MSEC / (32 * serial + think + READ_NS + group_takes);
		apart = 1000 * NSEC_PER_MSEC / serial;
		assert_true(writes > 23 * groups);
		assert_true(100 * writes > 97 * together);
		/* Nobody waits for the device as long as that has a group less than all. */
		if (group_takes < 6 * serial)
			assert_true(100 * writes > 95 * apart);
	}
}

/* Writes that come anyway, each soon after another, do not make it longer and longer. */
static void nobody_waits_for_strangers(void **data)
{
	static const u64 takes[] = { 100 * USEC, 500 * USEC, 2500 * USEC };
	u64 between;
	unsigned int i;

	(void)data;
	think = 0;
	for (i = 0; i < ARRAY_SIZE(takes); i++)
		for (between = 80 * USEC; between < 6000 * USEC; between *= 2) {
			setup(NULL);
			group_takes = takes[i];
			interval = between;
			run(500 * NSEC_PER_MSEC);
			run(2000 * NSEC_PER_MSEC);
			/* One group in flight, then a wait, then one's own, about. */
			assert_true(waited / writes < 9 * (takes[i] + READ_NS) / 4);
		}
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(those_who_come_back_are_waited_for),
		TEST(most_of_them_will_do),
		TEST(nobody_waits_for_strangers),
	};

	return cmocka_run_group_tests_name("linger", tests, NULL, NULL);
}
