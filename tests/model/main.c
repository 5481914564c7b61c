// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options, and a failure made small.
 */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

#define COMPLETE_STATES 50000	/* after so many, everything has been reached */
#define RUN_SECONDS 300		/* of CPU time: a run that takes longer hangs */
#define SHRINK_SECONDS 300	/* of CPU time, in all */
#define MAX_OPS 250		/* no run has more user writes */

u32 exhaustive_share = 33;
bool exhaustive;
u64 skipped[4];
struct sim *current;

static struct sim sim;
static u32 ops_limit = UINT_MAX;
static bool hopeless;		/* a child that only tries whether it fails */
static bool no_shrink;
static bool no_errors;

/* ---- runs that do not end ------------------------------------------------ */

static void hangs(int sig)
{
	(void)sig;
	if (hopeless)
		_exit(0);
	dprintf(STDOUT_FILENO, "FAILED, seed %llu: this run does not end\n",
		(unsigned long long)sim.seed);
	_exit(1);
}

static void limit_run(u32 seconds)
{
	struct itimerval limit = { .it_value.tv_sec = seconds };

	signal(SIGVTALRM, hangs);
	setitimer(ITIMER_VIRTUAL, &limit, NULL);
}

/* Told to stop: finish this run, and say what was done so far. */
static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static void run(u64 seed)
{
	if (!exhaustive && !tracing)
		limit_run(RUN_SECONDS);
	run_one(&sim, seed, ops_limit, no_errors);
}

/* ---- a failure made small ------------------------------------------------ */

static bool time_left(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return usage.ru_utime.tv_sec < SHRINK_SECONDS;
}

static void become_new(void)
{
	fflush(stdout);
	points_forget();
	memset(&stats, 0, sizeof(stats));
}

/* Does this run still fail? */
static bool fails(u64 seed)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		hopeless = true;
		become_new();
		limit_run(SHRINK_SECONDS / 10);
		run_one(&sim, seed, ops_limit, no_errors);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && status;
}

static bool shrink_ops(u64 seed)
{
	for (ops_limit = 1; ops_limit < MAX_OPS && time_left(); ops_limit++)
		if (fails(seed))
			return true;
	ops_limit = UINT_MAX;
	return fails(seed);
}

/* Leave out one user write after the other, as long as it still fails. */
static void shrink_writes(u64 seed)
{
	u32 i;

	for (i = 0; i < min(ops_limit, MAX_OPS) && time_left(); i++) {
		skipped[i / 64] |= 1ULL << (i % 64);
		if (!fails(seed))
			skipped[i / 64] &= ~(1ULL << (i % 64));
	}
}

static void print_replay(u64 seed)
{
	const char *separator = " --skip ";
	u32 i;

	printf("replay: %s --seed %llu --runs 1 --share %u",
	       COW_PAGE_RECORDS > 100 ? "model" : "model-small",
	       (unsigned long long)seed, exhaustive_share);
	if (ops_limit != UINT_MAX)
		printf(" --ops %u", ops_limit);
	for (i = 0; i < 64 * ARRAY_SIZE(skipped); i++)
		if (skipped[i / 64] >> (i % 64) & 1) {
			printf("%s%u", separator, i);
			separator = ",";
		}
	printf("%s --trace\n", no_errors ? " --no-errors" : "");
}

static void show_trace(u64 seed)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		become_new();
		tracing = true;
		run_one(&sim, seed, ops_limit, no_errors);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void shrink(u64 seed)
{
	/* A child knows no crash point yet; only these cuts are of use to it. */
	exhaustive_share = judge_is_exhaustive() ? 100 : 0;
	no_errors = true;
	no_errors = fails(seed);
	if (!shrink_ops(seed)) {
		printf("a run of its own does not fail\n");
		exhaustive_share = 100;
	} else {
		shrink_writes(seed);
	}
	print_replay(seed);
	show_trace(seed);
}

static void print_pending(const struct disk *disk)
{
	u32 i;

	for (i = 0; i < disk_pending(disk); i++) {
		const struct dwrite *w = disk_pending_write(disk, i);

		printf("  not durable, %s: %llu+%u%s\n",
		       i < disk->done.nr ? "completed" : "issued",
		       (unsigned long long)w->sector, w->nr,
		       w->live == NO_LIVE ? "" : " (user)");
	}
}

void fail(const char *format, ...)
{
	va_list ap;

	if (hopeless)
		_exit(1);
	printf("FAILED, seed %llu, state %llu: ", (unsigned long long)sim.seed,
	       (unsigned long long)stats.crash_states);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	if (tracing)
		print_pending(&sim.disk);
	fflush(stdout);
	if (!tracing && !no_shrink)
		shrink(sim.seed);
	exit(1);
}

/* ---- options ------------------------------------------------------------- */

static void usage(void)
{
	fputs("usage: model [--states N] [--seed S] [--runs N] [--json]\n"
	      "	[--share PERCENT] [--exhaustive]	new crash points, or all, with every subset\n"
	      "	[--ops N] [--skip WRITE,...] [--no-errors] [--trace] [--no-shrink]\n",
	      stderr);
	exit(2);
}

static const struct option options[] = {
	{ "states", required_argument, NULL, 'n' },
	{ "seed", required_argument, NULL, 's' },
	{ "runs", required_argument, NULL, 'r' },
	{ "ops", required_argument, NULL, 'o' },
	{ "skip", required_argument, NULL, 'S' },
	{ "share", required_argument, NULL, 'p' },
	{ "exhaustive", no_argument, NULL, 'e' },
	{ "no-errors", no_argument, NULL, 'E' },
	{ "json", no_argument, NULL, 'j' },
	{ "trace", no_argument, NULL, 't' },
	{ "no-shrink", no_argument, NULL, 'N' },
	{ }
};

static u64 states = 20000, first_seed = 1, runs = ~0ULL;
static bool json;

static void skip(char *list)
{
	for (; (list = strtok(list, ",")); list = NULL) {
		u64 write = strtoull(list, NULL, 0);

		if (write < 64 * ARRAY_SIZE(skipped))
			skipped[write / 64] |= 1ULL << (write % 64);
	}
}

static void set_option(int c)
{
	u64 number = optarg ? strtoull(optarg, NULL, 0) : 0;

	switch (c) {
	case 'n':
		states = number;
		break;
	case 's':
		first_seed = number;
		break;
	case 'r':
		runs = number;
		break;
	case 'o':
		ops_limit = (u32)number;
		break;
	case 'S':
		skip(optarg);
		break;
	case 'p':
		exhaustive_share = (u32)number;
		break;
	case 'e':
		exhaustive = true;
		break;
	case 'E':
		no_errors = true;
		break;
	case 'j':
		json = true;
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
}

int main(int argc, char **argv)
{
	bool some;
	u64 seed;
	int c;

	mallopt(M_MMAP_THRESHOLD, 256 << 10);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(c);
	some = runs != ~0ULL;
	if (some)
		states = ~0ULL;
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	for (seed = first_seed; runs && !stopped && stats.crash_states < states;
	     runs--, seed++)
		run(seed);
	return report(first_seed, json, !some && stats.crash_states >= COMPLETE_STATES);
}
