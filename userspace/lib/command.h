/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program of several commands: its table, options and exit statuses.
 */
#ifndef BOW_COMMAND_H
#define BOW_COMMAND_H

#include <getopt.h>

#include "util.h"

/*
 * Exit statuses, in the manner of fsck. They are part of the interface and
 * documented in bow(8) and blksnap(8) as a closed list: never change one.
 */
enum bow_exit {
	BOW_OK = 0,		/* done; of a reader of logs: there is none */
	BOW_DONE = 1,		/* restore: rolled back; check: a good log is there */
	BOW_USAGE = 2,
	BOW_DAMAGED = 4,	/* log damaged, nothing written */
	BOW_SYSTEM = 8,		/* I/O, kernel or memory */
	BOW_REFUSED = 16,	/* busy, mounted or in the wrong state */
};

struct command {
	const char *name;
	const char *summary;
	const char *usage;	/* all of it, from the arguments on */
	int (*run)(int argc, char **argv);
};

struct program {
	const char *name;
	const char *summary;
	const struct command * const *commands;
	size_t nr_commands;
};

/* All of main(). */
int program_main(const struct program *program, int argc, char **argv);

/* Long options without a letter start here. */
enum {
	OPT_ALL = 256,
	OPT_ATTEMPTS,
	OPT_BLOCK_SIZE,
	OPT_CONFIG,
	OPT_CREATE,
	OPT_DISCARD_LOG,
	OPT_DRY_RUN,
	OPT_FORCE,
	OPT_FORCE_INCOMPLETE,
	OPT_JSON,
	OPT_KMSG,
	OPT_LIMIT,
	OPT_LOW_WATER,
	OPT_MEMORY,
	OPT_NAME,
	OPT_INSIDE,
	OPT_ONCE,
	OPT_ON_FULL,
	OPT_PERSISTENT,
	OPT_QUIET,
	OPT_RECLAIM,
	OPT_RESUME,
	OPT_ROLL_FORWARD,
	OPT_SCAN,
	OPT_SECTOR,
	OPT_SINCE,
	OPT_SIZE,
	OPT_STEP,
	OPT_STOP_AFTER,
	OPT_STORE,
	OPT_SYSTEM,
	OPT_TIMEOUT,
	OPT_TEST_PAUSE_MS,
	OPT_TEST_WAIT,
	OPT_TRACKING,
	OPT_UUID,
};

#define BOW_COMMON_OPTIONS \
	{ "help", no_argument, NULL, 'h' }, \
	{ "version", no_argument, NULL, 'V' }, \
	{ NULL, 0, NULL, 0 }

/* --help, --version and whatever is unknown; the result is to be returned. */
int bow_common_option(const struct command *cmd, int option);

/* What nearly every command knows. */
struct bow_flags {
	bool dry_run;
	bool json;
	bool quiet;
};

/*
 * All options; what is behind them begins at argv[optind]. @take, if there is
 * one, gets what is no flag: -1 if it was understood, else the exit status.
 * Returns -1 to go on, else an exit status.
 */
int bow_parse_options(const struct command *cmd, int argc, char **argv,
		      const struct option *options, struct bow_flags *flags,
		      int (*take)(int option, void *data), void *data);

/* The same and the one argument behind them. @wanted says what that is. */
int bow_parse(const struct command *cmd, int argc, char **argv,
	      const struct option *options, struct bow_flags *flags,
	      int (*take)(int option, void *data), void *data,
	      const char *wanted, const char **argument);

/* For tests: the argument of --stop-after. -1, else the exit status. */
int bow_stop_after_option(const struct command *cmd, u64 *number);
int bow_memory_option(const struct command *cmd, u64 *bytes);

/* Complains about missing or extra arguments; the result is to be returned. */
int bow_usage_error(const struct command *cmd, const char *what);

#endif
