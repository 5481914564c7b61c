// SPDX-License-Identifier: GPL-2.0-only
/* The state map against a plain array. */
#include "unit.h"
#include "dm-cow-map.h"

#define ZONE (1ULL << COW_ZONE_SHIFT)

static const enum cow_state states[] = {
	COW_PROTECTED, COW_FREE, COW_LOOSE, COW_CHANGED,
};

static void all_transitions_at_edges(void **data)
{
	static const u64 edges[] = { 0, 1, 30, 31, 32, 33, 63, 64, ZONE - 1, ZONE,
				     ZONE + 1, ZONE + 31 };
	struct cow_map map;
	unsigned int i, from, to;

	(void)data;
	assert_int_equal(cow_map_init(&map, ZONE + 32), 0);
	for (i = 0; i < ARRAY_SIZE(edges); i++)
		for (from = 0; from < 4; from++)
			for (to = 0; to < 4; to++) {
				u64 at = edges[i];

				cow_map_set(&map, at, 1, states[from]);
				assert_int_equal(cow_map_nr_free(&map), from == COW_FREE);
				assert_int_equal(cow_map_passes(&map, at, 1), from >= COW_LOOSE);
				cow_map_replace(&map, at, 1, states[to], states[from ^ 1]);
				assert_int_equal(cow_map_get(&map, at), from == to ? from ^ 1 : from);
				cow_map_set(&map, at, 1, states[to]);
				assert_int_equal(cow_map_get(&map, at), to);
				if (at)
					assert_int_equal(cow_map_get(&map, at - 1), 0);
				if (at + 1 < map.nr_blocks)
					assert_int_equal(cow_map_get(&map, at + 1), 0);
				cow_map_set(&map, at, 1, COW_PROTECTED);
			}
	assert_int_equal(cow_map_nr_free(&map), 0);
	cow_map_exit(&map);
}

static void impossible_sizes(void **data)
{
	struct cow_map map;

	(void)data;
	assert_int_equal(cow_map_init(&map, 0), -EFBIG);
	assert_int_equal(cow_map_init(&map, 1), 0);
	assert_int_equal(map.nr_blocks, 1);
	cow_map_exit(&map);
}

static u64 naive_next(const u8 *model, u64 block, u64 end, u8 state, bool match)
{
	while (block < end && (model[block] == state) != match)
		block++;
	return block;
}

static u64 naive_stop(const u8 *model, u64 block, u64 end)
{
	while (block < end && model[block] >= COW_LOOSE)
		block++;
	return block;
}

static u64 naive_run_below(const u8 *model, u64 end, u64 max, u64 *start)
{
	u64 last = end;

	while (last && model[last - 1] != COW_FREE)
		last--;
	*start = last;
	/* A run is not followed into a lower zone's words any differently. */
	while (*start && last - *start < max && model[*start - 1] == COW_FREE)
		--*start;
	return last - *start;
}

static void check_all(const struct cow_map *map, const u8 *model)
{
	u64 i, nr = 0, zone[3] = { 0 };

	for (i = 0; i < map->nr_blocks; i++) {
		assert_int_equal(cow_map_get(map, i), model[i]);
		nr += model[i] == COW_FREE;
		zone[i >> COW_ZONE_SHIFT] += model[i] == COW_FREE;
	}
	assert_int_equal(cow_map_nr_free(map), nr);
	for (i = 0; i <= (map->nr_blocks - 1) >> COW_ZONE_SHIFT; i++)
		assert_int_equal(atomic_read(&map->zone_free[i]), zone[i]);
}

static void search(const struct cow_map *map, const u8 *model, u64 block, u64 nr)
{
	u64 end = block + nr, start = 0, want_start = 0, len, max = 1 + rnd(&rng, 200);
	u8 state = (u8)rnd(&rng, 4);

	assert_int_equal(cow_map_next(map, block, end, states[state]),
			 naive_next(model, block, end, state, true));
	assert_int_equal(cow_map_next_not(map, block, end, states[state]),
			 naive_next(model, block, end, state, false));
	assert_int_equal(cow_map_next_stop(map, block, end),
			 naive_stop(model, block, end));
	assert_int_equal(cow_map_passes(map, block, nr),
			 naive_stop(model, block, end) == end);
	len = naive_run_below(model, end, max, &want_start);
	assert_int_equal(cow_map_free_run_below(map, end, max, &start), len);
	if (len)
		assert_int_equal(start, want_start);
}

/* As after a commit: nothing passes any more. */
static void settle(struct cow_map *map, u8 *model)
{
	u64 i;

	cow_map_replace(map, 0, map->nr_blocks, COW_LOOSE, COW_PROTECTED);
	cow_map_replace(map, 0, map->nr_blocks, COW_CHANGED, COW_PROTECTED);
	cow_map_settled(map);
	for (i = 0; i < map->nr_blocks; i++)
		if (model[i] >= COW_LOOSE)
			model[i] = COW_PROTECTED;
	check_all(map, model);
}

static void change(struct cow_map *map, u8 *model, u64 block, u64 nr)
{
	u8 from = (u8)rnd(&rng, 4), to = (u8)rnd(&rng, 4);
	u64 i, taken;

	switch (rnd(&rng, 3)) {
	case 0:
		cow_map_set(map, block, nr, states[to]);
		memset(model + block, to, nr);
		break;
	case 1:
		cow_map_replace(map, block, nr, states[from], states[to]);
		for (i = block; i < block + nr; i++)
			if (model[i] == from)
				model[i] = to;
		break;
	default:
		taken = naive_next(model, block, block + nr, COW_FREE, false) - block;
		assert_int_equal(cow_map_take(map, block, nr), taken);
		memset(model + block, COW_PROTECTED, taken);
	}
}

static void random_operations(void **data)
{
	static const u64 sizes[] = { 1, 31, 32, 33, 100, 1000, ZONE, ZONE + 1, 2 * ZONE + 77 };
	unsigned int s, i;

	(void)data;
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		u8 *model = calloc(1, sizes[s]);
		struct cow_map map;

		assert_int_equal(cow_map_init(&map, sizes[s]), 0);
		for (i = 0; i < 4000; i++) {
			u64 block = rnd(&rng, sizes[s]);
			u64 nr = 1 + rnd(&rng, min(sizes[s] - block, rnd(&rng, 10) ? 100 : sizes[s]));

			change(&map, model, block, nr);
			if (!rnd(&rng, 50))
				settle(&map, model);
			search(&map, model, block, nr);
		}
		check_all(&map, model);
		cow_map_exit(&map);
		free(model);
	}
}

/* Those that are all FREE are not looked at block by block. */
static void whole_zones_are_skipped(void **data)
{
	const u64 zone = 1ULL << COW_ZONE_SHIFT;
	struct cow_map map;

	(void)data;
	assert_int_equal(cow_map_init(&map, 4 * zone - 9), 0);
	cow_map_set(&map, 100, 4 * zone - 109, COW_FREE);
	assert_int_equal(cow_map_next_not(&map, 100, 4 * zone - 9, COW_FREE), 4 * zone - 9);
	cow_map_set(&map, 3 * zone - 1, 1, COW_LOOSE);
	assert_int_equal(cow_map_next_not(&map, 100, 4 * zone - 9, COW_FREE), 3 * zone - 1);
	assert_int_equal(cow_map_next_not(&map, 100, 2 * zone + 7, COW_FREE), 2 * zone + 7);
	cow_map_exit(&map);
}

/* Before the first snapshot of an origin, and after the last one. */
static void none_takes_nothing(void **data)
{
	struct cow_map map = { };

	(void)data;
	assert_int_equal(cow_map_memory(&map), 0);
	assert_int_equal(cow_map_init(&map, 1), 0);
	assert_true(cow_map_memory(&map));
	cow_map_exit(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_transitions_at_edges),
		cmocka_unit_test(impossible_sizes),
		cmocka_unit_test(random_operations),
		cmocka_unit_test(whole_zones_are_skipped),
		cmocka_unit_test(none_takes_nothing),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
