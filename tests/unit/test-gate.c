// SPDX-License-Identifier: GPL-2.0-only
/*
 * The gate, one turn at a time: whatever a write waits for must be under way when
 * the turn ends, since nobody calls again before something has happened.
 */
#include "unit.h"
#include "dm-bow-proto.h"
#include "logdisk.h"

static struct cow cow;
static struct cow_op op;
static unsigned int pages, flushes, released, started;
static int released_with;
static bool others_take_it_all;
static unsigned int memory;		/* for so many operations; 0: for any */
static unsigned int asked;		/* when there was none */
static bool page_fua;
static bool lingering, close_early;
static unsigned int lingers;

static struct cow_op *op_alloc(struct cow *c, u32 nr)
{
	(void)nr;
	if (memory && started == memory) {
		assert_true(++asked < 10);
		return NULL;
	}
	memset(&op, 0, sizeof(op));
	if (others_take_it_all)
		cow_map_replace(&c->map, 0, BLOCKS, COW_FREE, COW_LOOSE);
	return &op;
}

static void op_free(struct cow_op *o)
{
	assert_ptr_equal(o->cow, &cow);
}

static void op_start(struct cow_op *o)
{
	(void)o;
	started++;
}

static void page_write(struct cow *c, unsigned int index,
		       const struct cow_page_write *write)
{
	(void)c;
	(void)index;
	page_fua = write->fua;
	pages++;
}

static void flush(struct cow *c)
{
	(void)c;
	flushes++;
}

static bool linger(struct cow *c, u32 ready, u32 reading)
{
	(void)c;
	(void)ready;
	if (reading)
		return !close_early;
	lingers += lingering;
	return lingering;
}

static void release(struct cow *c, struct cow_waiter *waiter, int error)
{
	(void)c;
	(void)waiter;
	released++;
	released_with = error;
}

static void event(struct cow *c, enum cow_event what)
{
	(void)c;
	(void)what;
}

static const struct cow_env_ops env = {
	.op_alloc = op_alloc,
	.op_free = op_free,
	.op_start = op_start,
	.page_write = page_write,
	.flush = flush,
	.linger = linger,
	.release = release,
	.event = event,
};

/* A log that was resumed: 40 blocks FREE, the rest of the free map LOOSE. */
static int setup(void **data)
{
	struct cow_picture pic;

	disk_setup(data);
	pages = flushes = released = started = memory = asked = 0;
	logdisk_extent(&disk, COW_RECORD_FREE, 160, 200);
	disk.head.seal = 350 * BS;
	logdisk_finish(&disk);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_TAIL), COW_LOG_OK);
	assert_int_equal(cow_init(&cow, disk.io.sectors, BS, &disk.io, &env), 0);
	assert_int_equal(bow_resume(&cow, &pic), 0);
	cow_picture_exit(&pic);
	cow_map_set(&cow.map, 200, 40, COW_FREE);
	cow_alloc_reset(&cow.alloc, &cow.map);
	return 0;
}

static int teardown(void **data)
{
	cow_exit(&cow);
	return disk_teardown(data);
}

/* The copy of a group, its page, its flush, and what comes of that. */
static void becomes_durable(void)
{
	cow_op_write_done(&op, 0);
	cow_page_written(&cow, 0);
	cow_turn(&cow);
	cow_flush_done(&cow, 0);
	cow_turn(&cow);
}

/* The page has room for what must be cancelled and for nothing else. */
static void voids_alone_are_a_group(void **data)
{
	struct cow_waiter waiter = { .first = 20, .last = 20 };

	(void)data;
	cow.log.head.record_count = COW_PAGE_RECORDS - 1;
	cow.voids[cow.nr_voids++] = (struct cow_record) {
		.kind = COW_RECORD_VOID, .source = 10 * BS, .dest = 160 * BS,
	};
	cow_write_arrived(&cow, &waiter);
	cow_turn(&cow);
	assert_int_equal(pages, 1);
	/* Meanwhile the copy is made, for the next group and the next page. */
	assert_int_equal(started, 1);
	cow_page_written(&cow, 0);
	cow_turn(&cow);
	assert_int_equal(flushes, 1);
}

/* The page was full of what was to be cancelled, but is not when that is recorded. */
static void voids_are_waited_for_once(void **data)
{
	struct cow_waiter waiters[] = {
		{ .first = 20, .last = 20 }, { .first = 30, .last = 30 }, { .first = 40, .last = 40 },
	};
	unsigned int i;

	(void)data;
	cow.log.head.record_count = COW_PAGE_RECORDS - 21;
	for (i = 0; i < 10; i++)
		cow.voids[i] = (struct cow_record) { .kind = COW_RECORD_VOID };
	cow.nr_voids = 10;
	memory = 2;
	cow_write_arrived(&cow, &waiters[0]);
	cow_turn(&cow);
	cow_op_read_done(&op, 0, 0);
	cow_turn(&cow);
	assert_int_equal(pages, 1);
	cow_write_arrived(&cow, &waiters[1]);
	cow_write_arrived(&cow, &waiters[2]);
	cow_turn(&cow);
	assert_int_equal(started, 1);
	/* The second one is copied, the third must wait for memory, and others not for it. */
	becomes_durable();
	assert_int_equal(released, 1);
	assert_int_equal(started, 2);
	memory = 0;
}

/* Copies one by one are durable when they are written, where the disk can do that. */
static void few_copies_need_no_flush(void **data)
{
	struct cow_waiter waiters[] = {
		{ .first = 20, .last = 20 }, { .first = 30, .last = 30 }, { .first = 40, .last = 40 },
		{ .first = 50, .last = 50 },
	};
	unsigned int i;

	(void)data;
	cow.fua = true;
	for (i = 0; i < 3; i++) {
		cow_write_arrived(&cow, &waiters[i]);
		cow_turn(&cow);
		cow_op_has_data(&op);
		cow_op_read_done(&op, 0, 0);
		cow_turn(&cow);
		assert_true(op.fua);
		assert_true(page_fua);
		cow_op_write_done(&op, 0);
		assert_int_equal(released, i);
		cow_page_written(&cow, 0);
		cow_turn(&cow);
		assert_int_equal(released, i + 1);
	}
	assert_int_equal(flushes, 0);
	/* After a group of many a flush is what is expected, and what it takes. */
	cow.last_ops = 30;
	cow_write_arrived(&cow, &waiters[3]);
	cow_turn(&cow);
	cow_op_has_data(&op);
	cow_op_read_done(&op, 0, 0);
	cow_turn(&cow);
	assert_false(op.fua);
	assert_false(page_fua);
	becomes_durable();
	assert_int_equal(flushes, 1);
	assert_int_equal(released, 4);
}

/* A write held for want of space ends when no space can come any more. */
static void held_writes_end_with_the_log(void **data)
{
	struct cow_waiter waiter = { .first = 20, .last = 20 };

	(void)data;
	cow.on_full = COW_FULL_HOLD;
	cow.holding = true;
	cow_map_replace(&cow.map, 0, BLOCKS, COW_FREE, COW_LOOSE);
	cow_write_arrived(&cow, &waiter);
	cow_turn(&cow);
	assert_int_equal(released, 0);
	cow_fail_log(&cow);
	cow_turn(&cow);
	assert_int_equal(released, 1);
	assert_int_equal(released_with, -EIO);
}

/* What the device below says of its own space is an I/O error to us. */
static void full_below_is_not_full_here(void **data)
{
	struct cow_waiter waiter = { .first = 350, .last = 350 };

	(void)data;
	cow.on_full = COW_FULL_HOLD;
	cow.holding = true;
	disk.flush_error = -ENOSPC;
	cow_write_arrived(&cow, &waiter);
	cow_turn(&cow);
	assert_true(cow.failed);
	assert_false(cow.full);
	assert_int_equal(released, 1);
	assert_int_equal(released_with, -EIO);
}

/* Where a move has failed, nothing is kept: not tried again, and never a source. */
static void failed_places_are_loose(void **data)
{
	struct cow_waiter waiter = { .first = SLOT1, .last = SLOT1 };
	u64 loose = 0, block;

	(void)data;
	disk.flush_error = -EIO;
	cow_write_arrived(&cow, &waiter);
	cow_turn(&cow);
	assert_int_equal(released, 1);
	assert_int_equal(released_with, -EIO);
	assert_false(cow.failed);
	for (block = 200; block < 240; block++) {
		assert_int_not_equal(cow_map_get(&cow.map, block), COW_PROTECTED);
		loose += cow_map_get(&cow.map, block) == COW_LOOSE;
	}
	assert_int_equal(loose, COW_BACKUP_TRIES);
}

/* Writes to free blocks are not held up: the last of them may go at any time. */
static void space_goes_while_it_is_counted(void **data)
{
	struct cow_waiter waiter = { .first = 20, .last = 20 };

	(void)data;
	others_take_it_all = true;
	cow_write_arrived(&cow, &waiter);
	cow_turn(&cow);
	others_take_it_all = false;
	assert_int_equal(released, 1);
	assert_int_equal(released_with, -ENOSPC);
}

/* Read, and let go whoever waits. */
static void copied(int read_error)
{
	cow_op_read_done(&op, 0, read_error);
	cow_turn(&cow);
	if (!read_error)
		becomes_durable();
}

static void write_block(u64 block)
{
	static struct cow_waiter waiter;

	waiter.first = waiter.last = block;
	cow_write_arrived(&cow, &waiter);
	cow_turn(&cow);
}

/* One after the other: half as much ahead as has been copied. */
static void streams_are_copied_ahead(void **data)
{
	static const u32 nr[] = { 1, 1, 2, 3, 4 };
	u64 block = 20, ahead = 0;
	unsigned int i;

	(void)data;
	for (i = 0; i < ARRAY_SIZE(nr); i++) {
		write_block(block);
		assert_int_equal(op.source, block);
		assert_int_equal(op.nr, nr[i]);
		assert_int_equal(op.ahead, nr[i] - 1);
		copied(0);
		assert_int_equal(released, i + 1);
		block += nr[i];
		ahead += nr[i] - 1;
	}
	assert_int_equal(cow.stats.ahead_blocks, ahead);
	/* Somewhere else is another stream. */
	write_block(block + 20);
	assert_int_equal(op.nr, 1);
	copied(0);
}

static void begin_stream(u64 block)
{
	write_block(block);
	copied(0);
	write_block(block + 1);
	copied(0);
	released = 0;
}

/* What nobody has asked for may be bad: who waits tries again, alone. */
static void ahead_is_not_held_against_writes(void **data)
{
	(void)data;
	begin_stream(20);
	write_block(22);
	assert_int_equal(op.nr, 2);
	started = 0;
	copied(-EIO);
	assert_int_equal(released, 0);
	assert_int_equal(started, 1);
	assert_int_equal(op.source, 22);
	assert_int_equal(op.nr, 1);
	copied(-EIO);
	assert_int_equal(released, 1);
	assert_int_equal(released_with, -EIO);
}

/* A hidden block's contents are not at its place. */
static void nothing_hidden_is_copied_ahead(void **data)
{
	u64 hidden = 24;

	(void)data;
	cow.log.head.hidden[cow.log.head.hidden_count++].source = hidden * BS;
	begin_stream(hidden - 3);
	write_block(hidden - 1);
	assert_int_equal(op.source, hidden - 1);
	assert_int_equal(op.nr, 1);
	copied(0);
}

/* Short of space, every block is for those who need one. */
static void space_is_not_spent_ahead(void **data)
{
	(void)data;
	begin_stream(20);
	cow.low_water = cow_map_nr_free(&cow.map) / 2 + 1;
	write_block(22);
	assert_int_equal(op.nr, 1);
	copied(0);
}

static void do_nothing(struct cow *c, struct cow_exclusive *self)
{
	(void)c;
	(void)self;
}

/* A group waits when that is asked for, but not if somebody can not go on before. */
static void groups_wait_for_company(void **data)
{
	struct cow_waiter waiter = { .first = 20, .last = 20 };
	struct cow_waiter second = { .first = 30, .last = 30 };
	struct cow_exclusive exclusive = { .run = do_nothing };

	(void)data;
	lingering = true;
	lingers = 0;
	cow_write_arrived(&cow, &waiter);
	cow_turn(&cow);
	cow_op_read_done(&op, 0, 0);
	cow_turn(&cow);
	assert_int_equal(pages, 0);
	assert_int_equal(lingers, 1);
	cow_run_exclusive(&cow, &exclusive);
	cow_turn(&cow);
	assert_int_equal(pages, 1);
	assert_int_equal(lingers, 1);
	lingering = false;
	becomes_durable();
	assert_int_equal(released, 1);
	cow_write_arrived(&cow, &second);
	cow_turn(&cow);
	cow_op_read_done(&op, 0, 0);
	cow_turn(&cow);
	assert_int_equal(pages, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(voids_alone_are_a_group), TEST(held_writes_end_with_the_log),
		TEST(full_below_is_not_full_here),
		TEST(failed_places_are_loose),
		TEST(space_goes_while_it_is_counted),
		TEST(voids_are_waited_for_once),
		TEST(few_copies_need_no_flush),
		TEST(groups_wait_for_company),
		TEST(streams_are_copied_ahead),
		TEST(ahead_is_not_held_against_writes),
		TEST(nothing_hidden_is_copied_ahead),
		TEST(space_is_not_spent_ahead),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
