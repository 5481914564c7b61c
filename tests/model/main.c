// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options, statistics, and a failure made small.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

struct stats stats;
bool tracing;
struct sim *current;

static struct sim sim;
static u32 ops_limit = UINT_MAX;
static bool hopeless;		/* a child that only tries whether it fails */
static bool no_shrink;

void *model_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

void trace(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

/* Does this run fail when it may do only so many writes? */
static bool fails(u64 seed, u32 ops)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		hopeless = true;
		alarm(60);
		run_one(&sim, seed, ops);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && status;
}

static void shrink(u64 seed)
{
	u32 ops;
	pid_t pid;

	for (ops = 1; ops < 250 && !fails(seed, ops); ops++)
		;
	printf("replay: model --seed %llu --runs 1%s", (unsigned long long)seed,
	       ops < 250 ? "" : "\n");
	if (ops < 250)
		printf(" --ops %u --trace\n", ops);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		tracing = true;
		no_shrink = true;
		run_one(&sim, seed, ops);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void print_pending(const char *what, const struct dlist *list)
{
	u32 i;

	for (i = 0; i < list->nr; i++)
		printf("  not durable, %s: %llu+%u%s\n", what,
		       (unsigned long long)list->w[i]->sector, list->w[i]->nr,
		       list->w[i]->live == NO_LIVE ? "" : " (user)");
}

void fail(const char *format, ...)
{
	va_list ap;

	if (hopeless)
		_exit(1);
	printf("FAILED, seed %llu: ", (unsigned long long)sim.seed);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	if (tracing) {
		print_pending("completed", &sim.disk.done);
		print_pending("issued", &sim.disk.open);
	}
	fflush(stdout);
	if (!tracing && !no_shrink)
		shrink(sim.seed);
	exit(1);
}

struct kind {
	const char *name;
	const u64 *count;
};

#define KIND(name) { #name, &stats.name }

static const struct kind kinds[] = {
	KIND(runs), KIND(events), KIND(crash_states), KIND(power_cuts),
	KIND(kernel_crashes), KIND(torn), KIND(enters), KIND(enter_cuts),
	KIND(enter_errors), KIND(restores), KIND(restore_cuts), KIND(resumes),
	KIND(commits), KIND(offline_commits), KIND(commit_cuts), KIND(give_ups),
	KIND(second_checkpoints), KIND(rollovers), KIND(collisions),
	KIND(moves_slot1), KIND(moves_seal), KIND(moves_live),
	KIND(moves_backup), KIND(moves_page), KIND(moves_run),
	KIND(hidden_writes), KIND(short_blocks), KIND(reclaims), KIND(no_space),
	KIND(held), KIND(errors), KIND(log_failures), KIND(voids),
	KIND(pending_voids), KIND(dropped_tails), KIND(busy_refused),
};

static int print_stats(bool complete)
{
	int missing = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		printf("%s %llu%s", kinds[i].name,
		       (unsigned long long)*kinds[i].count,
		       i + 1 < ARRAY_SIZE(kinds) ? ", " : "\n");
		missing += !*kinds[i].count;
	}
	if (!complete || !missing)
		return 0;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!*kinds[i].count)
			printf("FAILED: never reached: %s\n", kinds[i].name);
	return 1;
}

static void usage(void)
{
	fputs("usage: model [--states N] [--seed S] [--runs N] [--ops N] [--trace] [--no-shrink]\n",
	      stderr);
	exit(2);
}

static const struct option options[] = {
	{ "states", required_argument, NULL, 'n' },
	{ "seed", required_argument, NULL, 's' },
	{ "runs", required_argument, NULL, 'r' },
	{ "ops", required_argument, NULL, 'o' },
	{ "trace", no_argument, NULL, 't' },
	{ "no-shrink", no_argument, NULL, 'N' },
	{ }
};

int main(int argc, char **argv)
{
	u64 states = 20000, seed = 1, runs = ~0ULL;
	int c;

	mallopt(M_MMAP_THRESHOLD, 256 << 10);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'n':
			states = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			runs = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			ops_limit = (u32)strtoul(optarg, NULL, 0);
			break;
		case 't':
			tracing = true;
			break;
		case 'N':
			no_shrink = true;
			break;
		default:
			usage();
		}
	for (; runs && stats.crash_states < states; runs--, seed++)
		run_one(&sim, seed, ops_limit);
	return print_stats(states >= 20000 && runs);
}
