// SPDX-License-Identifier: GPL-2.0-only
/*
 * What was counted, and what should have been and was not.
 */
#include "model.h"

struct stats stats;

struct kind {
	const char *title;	/* of a group that begins here, or NULL */
	const char *name;
	const u64 *count;
};

#define TITLE(title, name) { title, #name, &stats.name }
#define KIND(name) TITLE(NULL, name)

static const struct kind kinds[] = {
	TITLE("explored", runs), KIND(events), KIND(crash_states), KIND(points),
	KIND(exhausted), KIND(subset_states), KIND(tear_states), KIND(torn),
	KIND(sweeps), KIND(sweep_cuts),
	TITLE("crashes", power_cuts), KIND(kernel_crashes), KIND(enter_cuts),
	KIND(resume_cuts), KIND(restore_cuts), KIND(commit_cuts),
	TITLE("checkpoints", enters), KIND(enter_errors), KIND(enters_stuck), KIND(forgetful), KIND(lingers),
	KIND(fua_backups), KIND(fua_pages),
	KIND(stuck_refused), KIND(stuck_commits), KIND(stuck_commit_errors),
	KIND(second_checkpoints), KIND(resumes), KIND(reclaims),
	KIND(reclaims_resumed), KIND(commits), KIND(commits_refused),
	KIND(commit_errors),
	KIND(give_ups), KIND(restores), KIND(offline_commits),
	KIND(finish_errors), KIND(busy_refused), KIND(unreadable_refused),
	TITLE("filesystem", writes), KIND(writes_unaligned), KIND(writes_part),
	KIND(writes_long), KIND(writes_hidden), KIND(writes_short_block),
	KIND(reads), KIND(reads_hidden), KIND(discards), KIND(no_space),
	KIND(held),
	TITLE("copies", copies), KIND(copies_run), KIND(copies_behind), KIND(copies_ahead),
	KIND(copies_short), KIND(handed_over), KIND(collisions),
	TITLE("moves", moves_backup), KIND(moves_page), KIND(moves_run),
	KIND(moves_part), KIND(moves_slot1), KIND(moves_seal), KIND(moves_live),
	TITLE("log", rollovers), KIND(voids), KIND(pending_voids),
	KIND(dropped_tails), KIND(slot1_found), KIND(log_failures),
	{ "errors", "read_errors", &stats.errors[0] },
	{ NULL, "backup_errors", &stats.errors[1] },
	{ NULL, "page_errors", &stats.errors[2] },
	{ NULL, "flush_errors", &stats.errors[3] },
	{ NULL, "other_errors", &stats.errors[4] },
};

static void print_text(void)
{
	size_t i;

	printf("%d records a page", COW_PAGE_RECORDS);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].title)
			printf("\n  %-12s", kinds[i].title);
		else
			printf(", ");
		printf("%s %llu", kinds[i].name, (unsigned long long)*kinds[i].count);
	}
	putchar('\n');
}

static void print_json(u64 seed)
{
	size_t i;

	printf("{\"records_per_page\": %d, \"seed\": %llu", COW_PAGE_RECORDS,
	       (unsigned long long)seed);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		printf(", \"%s\": %llu", kinds[i].name,
		       (unsigned long long)*kinds[i].count);
	puts("}");
}

/* Some things take a small page and a long time. */
static bool out_of_reach(const struct kind *kind)
{
	bool small_page = COW_PAGE_RECORDS < 100;
	bool long_run = stats.crash_states >= 1000000;

	if (kind->count == &stats.forgetful)
		return !small_page;
	if (kind->count == &stats.unreadable_refused)
		return !long_run;
	return kind->count == &stats.handed_over && !(small_page && long_run);
}

int report(u64 seed, bool json, bool complete)
{
	int missing = 0;
	size_t i;

	if (json)
		print_json(seed);
	else
		print_text();
	for (i = 0; complete && i < ARRAY_SIZE(kinds); i++)
		if (!*kinds[i].count && !out_of_reach(&kinds[i])) {
			fprintf(stderr, "FAILED: never reached: %s\n", kinds[i].name);
			missing = 1;
		}
	return missing;
}
