// SPDX-License-Identifier: GPL-2.0-only
/* The allocator: all of the free space, nothing else, long runs first. */
#include "unit.h"
#include "dm-cow-alloc.h"

static void highest_run_first(void **data)
{
	struct cow_alloc alloc;
	struct cow_map map;
	u64 start;

	(void)data;
	assert_int_equal(cow_map_init(&map, 100000), 0);
	cow_map_set(&map, 10, 5000, COW_FREE);		/* long, low */
	cow_map_set(&map, 20000, 2000, COW_FREE);	/* long, higher */
	cow_map_set(&map, 90000, 40, COW_FREE);		/* short, highest but one */
	cow_map_set(&map, 99000, 1, COW_FREE);		/* shortest, highest */
	cow_alloc_reset(&alloc, &map);
	assert_int_equal(cow_alloc_run(&alloc, &map, 8, &start), 8);
	assert_int_equal(start, 20976);			/* the top 1024 of the run */
	assert_int_equal(cow_alloc_run(&alloc, &map, 8, &start), 8);
	assert_int_equal(start, 20984);
	while (start < 25000 && start >= 10 + 5000)
		assert_int_equal(cow_alloc_run(&alloc, &map, 8, &start), 8);
	assert_int_equal(start, 10 + 5000 - 1024);
	while (start < 10 + 5000)
		assert_true(cow_alloc_run(&alloc, &map, 256, &start) > 0);
	/* Nothing of 1024 is left: what has 32. */
	assert_int_equal(start, 90000);
	while (cow_map_nr_free(&map) > 1)
		assert_true(cow_alloc_run(&alloc, &map, 256, &start) > 0);
	assert_int_equal(cow_alloc_run(&alloc, &map, 256, &start), 1);
	assert_int_equal(start, 99000);
	assert_int_equal(cow_alloc_run(&alloc, &map, 256, &start), 0);
	cow_map_exit(&map);
}

static void freed_behind_the_search(void **data)
{
	struct cow_alloc alloc;
	struct cow_map map;
	u64 start;

	(void)data;
	assert_int_equal(cow_map_init(&map, 1000), 0);
	cow_map_set(&map, 500, 2, COW_FREE);
	cow_alloc_reset(&alloc, &map);
	assert_int_equal(cow_alloc_run(&alloc, &map, 1, &start), 1);
	assert_int_equal(cow_alloc_run(&alloc, &map, 1, &start), 1);
	/* A copy failed to be read: its destination is free again. */
	cow_map_set(&map, 500, 2, COW_FREE);
	assert_int_equal(cow_alloc_run(&alloc, &map, 2, &start), 2);
	assert_int_equal(start, 500);
	assert_int_equal(cow_alloc_run(&alloc, &map, 2, &start), 0);
	assert_int_equal(cow_alloc_run(&alloc, &map, 2, &start), 0);
	cow_map_set(&map, 501, 1, COW_FREE);
	assert_int_equal(cow_alloc_run(&alloc, &map, 2, &start), 1);
	cow_map_exit(&map);
}

/* Writers take blocks away, errors bring some back; none is given twice. */
static void random_operations(void **data)
{
	enum { NR = 5000 };
	struct cow_alloc alloc;
	struct cow_map map;
	u64 start, nr, i, total = 0;

	(void)data;
	assert_int_equal(cow_map_init(&map, NR), 0);
	for (i = 0; i < 40; i++) {
		start = rnd(&rng, NR);
		cow_map_set(&map, start, min(1 + rnd(&rng, 200), NR - start), COW_FREE);
	}
	cow_alloc_reset(&alloc, &map);
	for (i = 0; i < 100000 && cow_map_nr_free(&map); i++) {
		u64 before = cow_map_nr_free(&map);

		if (!rnd(&rng, 10))
			cow_map_replace(&map, rnd(&rng, NR), 1, COW_FREE, COW_LOOSE);
		if (!rnd(&rng, 50) && i < 1000)
			cow_map_replace(&map, rnd(&rng, NR), 1, COW_PROTECTED, COW_FREE);
		before = cow_map_nr_free(&map);
		nr = cow_alloc_run(&alloc, &map, 1 + rnd(&rng, 30), &start);
		assert_int_equal(nr > 0, before > 0);
		assert_int_equal(cow_map_nr_free(&map), before - nr);
		if (nr)
			assert_int_equal(cow_map_next_not(&map, start, start + nr, COW_PROTECTED),
					 start + nr);
		total += nr;
	}
	assert_true(total > 0);
	assert_int_equal(cow_map_nr_free(&map), 0);
	cow_map_exit(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(highest_run_first),
		cmocka_unit_test(freed_behind_the_search),
		cmocka_unit_test(random_operations),
	};

	return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
