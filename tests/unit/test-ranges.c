// SPDX-License-Identifier: GPL-2.0-only
/* Range sets against a plain array. */
#include "unit.h"
#include "dm-cow-ranges.h"

void fail_allocations(bool all);	/* logdisk.c */

enum { NR = 3000 };

static u64 owner[NR];		/* start of the range + 1, or 0 */

static u64 naive_piece(u64 block, u64 nr)
{
	u64 n = 1;

	while (n < nr && owner[block + n] == owner[block])
		n++;
	return n;
}

static void check_order(const struct cow_ranges *set)
{
	const struct cow_range *range;
	u64 count = 0, end = 0;

	for (range = cow_ranges_first(set); range; range = cow_ranges_next(range)) {
		assert_true(range->start >= end);
		end = range->start + range->nr;
		count++;
	}
	assert_int_equal(count, set->count);
}

static void random_operations(void **data)
{
	struct cow_ranges set;
	unsigned int i;

	(void)data;
	assert_int_equal(cow_ranges_init(&set), 0);
	for (i = 0; i < 20000; i++) {
		u64 start = rnd(&rng, NR), nr = min(1 + rnd(&rng, 12), (u64)NR - start), j, piece;
		struct cow_range *range, *at;
		bool taken = false;

		piece = cow_ranges_piece(&set, start, nr, &range);
		assert_int_equal(piece, naive_piece(start, nr));
		assert_int_equal(!!range, !!owner[start]);
		if (range) {
			assert_int_equal(range->start + 1, owner[start]);
			assert_int_equal(range->to, range->start * 7);
		}
		at = cow_ranges_at(&set, start);
		for (j = start; j < NR && !owner[j]; j++)
			;
		assert_int_equal(at ? at->start + 1 : 0, j < NR ? owner[j] : 0);
		if (rnd(&rng, 8))
			continue;
		for (j = start; j < start + nr; j++)
			taken |= !!owner[j];
		assert_int_equal(cow_ranges_add(&set, start, nr, start * 7),
				 taken ? -EEXIST : 0);
		if (!taken)
			for (j = start; j < start + nr; j++)
				owner[j] = start + 1;
	}
	check_order(&set);
	cow_ranges_exit(&set);
}

static void ascending_and_descending(void **data)
{
	struct cow_ranges set;
	struct cow_range *range;
	u64 i;

	(void)data;
	assert_int_equal(cow_ranges_init(&set), 0);
	assert_null(cow_ranges_at(&set, 0));
	for (i = 0; i < 20000; i++) {
		assert_int_equal(cow_ranges_add(&set, 1000000 + 2 * i, 1, i), 0);
		assert_int_equal(cow_ranges_add(&set, 999998 - 2 * i, 1, i), 0);
	}
	assert_int_equal(set.count, 40000);
	check_order(&set);
	assert_int_equal(cow_ranges_piece(&set, 1000001, 5, &range), 1);
	assert_null(range);
	assert_int_equal(cow_ranges_piece(&set, 2000000, 5, &range), 5);
	assert_null(range);
	cow_ranges_exit(&set);
}

/* Who writes a log must not know which searches will be long. */
static void nobody_knows_the_levels(void **data)
{
	struct cow_ranges set[3];
	u32 i;

	(void)data;
	for (i = 0; i < 3; i++) {
		assert_int_equal(cow_ranges_init(&set[i]), 0);
		assert_int_not_equal(set[i].random, 0);
	}
	assert_true(set[0].random != set[1].random || set[1].random != set[2].random);
	for (i = 0; i < 3; i++)
		cow_ranges_exit(&set[i]);
}

static void what_is_promised_is_there(void **data)
{
	struct cow_range_pool pool, other;
	struct cow_ranges may_fail, kept;
	unsigned int i;

	(void)data;
	assert_int_equal(cow_ranges_init(&may_fail), 0);
	assert_int_equal(cow_ranges_init(&kept), 0);
	cow_range_pool_init(&pool);
	may_fail.pool = &pool;
	kept.pool = &pool;
	kept.promised = true;
	assert_true(cow_range_pool_fill(&pool, 3, true));
	fail_allocations(true);
	assert_false(cow_range_pool_fill(&pool, 4, true));
	assert_true(cow_range_pool_promise(&pool));
	assert_true(cow_range_pool_promise(&pool));
	assert_int_equal(cow_ranges_add(&may_fail, 10, 1, 0), 0);
	assert_int_equal(cow_ranges_add(&may_fail, 20, 1, 0), -ENOMEM);
	assert_false(cow_range_pool_promise(&pool));
	assert_int_equal(cow_ranges_add(&kept, 10, 1, 0), 0);
	assert_int_equal(cow_ranges_add(&kept, 20, 1, 0), 0);
	cow_range_pool_unpromise(&pool);
	cow_range_pool_unpromise(&pool);
	assert_int_equal(cow_ranges_add(&kept, 30, 1, 0), -ENOMEM);
	assert_false(cow_range_pool_promise(&pool));

	/* No search is long for want of memory. */
	fail_allocations(false);
	cow_range_pool_init(&other);
	assert_true(cow_range_pool_fill(&other, 1000, false));
	cow_range_pool_move(&other, &pool);
	assert_true(!other.nr && !other.spare && pool.nr == 1000);
	cow_range_pool_trim(&pool, 1001);
	assert_int_equal(pool.nr, 1000);
	fail_allocations(true);
	for (i = 0; i < 1000; i++)
		assert_int_equal(cow_ranges_add(&kept, 100 + 2 * i, 1, i), 0);
	fail_allocations(false);
	assert_true(kept.bytes > kept.count * (sizeof(struct cow_range) + 5 * sizeof(void *) / 4));
	check_order(&kept);
	assert_true(cow_range_pool_fill(&pool, 100, false));
	cow_range_pool_trim(&pool, 7);
	assert_int_equal(pool.nr, 7);
	cow_ranges_exit(&may_fail);
	cow_ranges_exit(&kept);
	cow_range_pool_exit(&pool);
}

static void neighbours_become_one(void **data)
{
	struct cow_ranges set;
	u64 to;

	(void)data;
	assert_int_equal(cow_ranges_init(&set), 0);
	set.merges = true;
	/* Not with what is before the first one. */
	assert_int_equal(cow_ranges_add(&set, 0, 2, 0), 0);
	assert_int_equal(set.count, 1);
	assert_int_equal(cow_ranges_add(&set, 2, 3, 2), 0);
	assert_int_equal(set.count, 1);
	assert_int_equal(cow_ranges_add(&set, 4, 1, 4), -EEXIST);
	assert_int_equal(cow_ranges_add(&set, 6, 1, 6), 0);	/* a gap */
	assert_int_equal(cow_ranges_add(&set, 7, 1, 8), 0);	/* to somewhere else */
	assert_int_equal(set.count, 3);
	assert_true(cow_ranges_find(&set, 4, &to) && to == 4);
	assert_false(cow_ranges_find(&set, 5, &to));
	assert_true(cow_ranges_find(&set, 7, &to) && to == 8);
	check_order(&set);
	cow_ranges_exit(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(ascending_and_descending),
		cmocka_unit_test(nobody_knows_the_levels),
		cmocka_unit_test(what_is_promised_is_there),
		cmocka_unit_test(neighbours_become_one),
	};

	return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
