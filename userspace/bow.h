/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bow: what every command shares.
 */
#ifndef BOW_H
#define BOW_H

#include <getopt.h>

#include "util.h"

/*
 * Exit statuses, in the manner of fsck. They are part of the interface and
 * documented in bow(8) as a closed list: never change one.
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

extern const struct command cmd_check, cmd_checkpoint, cmd_commit, cmd_create,
	cmd_dump, cmd_remove, cmd_restore, cmd_status, cmd_trim;

/* Long options without a letter start here. */
enum {
	OPT_BLOCK_SIZE = 256,
	OPT_DISCARD_LOG,
	OPT_DRY_RUN,
	OPT_FORCE_INCOMPLETE,
	OPT_JSON,
	OPT_LOW_WATER,
	OPT_ON_FULL,
	OPT_QUIET,
	OPT_RECLAIM,
	OPT_RESUME,
	OPT_ROLL_FORWARD,
	OPT_SCAN,
	OPT_STOP_AFTER,
	OPT_TEST_PAUSE_MS,
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
 * All options and the one argument behind them. @take, if there is one, gets what is no flag: -1
 * if it was understood, else the exit status. @wanted says what the argument is.
 * Returns -1 to go on, else an exit status.
 */
int bow_parse(const struct command *cmd, int argc, char **argv,
	      const struct option *options, struct bow_flags *flags,
	      int (*take)(int option, void *data), void *data,
	      const char *wanted, const char **argument);

/* Complains about missing or extra arguments; the result is to be returned. */
int bow_usage_error(const struct command *cmd, const char *what);

#endif
