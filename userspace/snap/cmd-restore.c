// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap restore, check and dump: a snapshot that is only a store and an origin.
 */
#include "dump.h"
#include "offline.h"
#include "snap.h"

struct request {
	const struct command *cmd;
	const char *origin;
	const char *store;		/* as it is told */
	u64 sector;
	bool inside, has_sector;	/* the store is a file on the origin itself */
	struct bow_flags flags;
	u64 stop_after;
	u64 memory;
	struct snap_reopened again;	/* a store that was a file */
};

/* What is done about a log, and how it is called. */
struct action {
	const char *name;
	const char *text;
	const char *dry_text;
	bool end;		/* nothing is brought back */
};

static const struct action nothing = {
	"none", "no snapshot in that store", "no snapshot in that store", false,
};
static const struct action roll_back = {
	"rolled-back", "rolled back", "would be rolled back", false,
};
static const struct action finish_restore = {
	"restore-finished", "rolled back: an interrupted restore was finished",
	"would be rolled back: a restore was interrupted", false,
};
static const struct action finish_end = {
	"end-finished", "not rolled back: the snapshot had ended, its header is erased",
	"would not be rolled back: the snapshot has ended", true,
};

/* NULL if the log is of no use. */
static const struct action *choose(const struct offline *off)
{
	if (!off->has_log)
		return &nothing;
	if (offline_committing(off))
		return &finish_end;
	if (off->error)
		return NULL;
	return off->pic.log.head.state == COW_LOG_RESTORING ? &finish_restore : &roll_back;
}

static int refuse(const struct offline *off, const struct request *req)
{
	int status = offline_complain(off);

	if (off->error == COW_LOG_WRONG_SIZE)
		error_msg("is %s what that snapshot was taken of, and %s all of its store?",
			  req->origin, req->store);
	else if (off->error == COW_LOG_WRONG_KIND)
		error_msg("%s carries a checkpoint of its own: see 'bow check %s'", req->store,
			  req->store);
	return status;
}

static void print_json(const struct offline *off, const struct request *req,
		       const char *what, const char *word, int status,
		       struct json_object *log)
{
	struct json_object *obj = json_report();

	json_add_string(obj, "origin", req->origin);
	json_add_string(obj, "store", req->store);
	json_add_string(obj, what, word);
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	json_add_number(obj, "status", (u64)status);
	json_object_object_add(obj, "log", log);
	json_object_object_add(obj, "error", offline_json_error(off));
	json_print(obj);
}

/* ---- restore ---------------------------------------------------------------- */

static int act(struct offline *off, const struct request *req,
	       const struct action *action)
{
	int status;

	if (action == &nothing)
		return BOW_OK;
	status = offline_refuse_read_only(off);
	if (status)
		return status;
	if (req->flags.dry_run)
		return BOW_DONE;
	status = action->end ? offline_commit(off) :
		 offline_restore(off, req->flags.quiet || req->flags.json);
	return status ? status : BOW_DONE;
}

static void print_text(const struct offline *off, const struct request *req,
		       const struct action *action)
{
	char size[SIZE_TEXT], time[TIME_TEXT];

	printf("%s: %s", req->origin, req->flags.dry_run ? action->dry_text : action->text);
	if (action != &nothing)
		printf(" (snapshot of %s, %s)", format_time(time, off->pic.log.head.time),
		       format_size(size, action->end ? 0 : off->restore_sectors << 9));
	putchar('\n');
}

static int restore(struct offline *off, const struct request *req)
{
	const struct action *action = choose(off);
	struct json_object *log = req->flags.json && off->has_tail ? offline_json(off) : NULL;
	int status = action ? act(off, req, action) : refuse(off, req);

	if (req->flags.json)
		print_json(off, req, "action", action ? action->name : "refused", status, log);
	else if (status <= BOW_DONE && !req->flags.quiet)
		print_text(off, req, action);
	return status;
}

/* ---- check ------------------------------------------------------------------ */

static const char *advice(const struct offline *off)
{
	if (off->pic.log.read_only)
		return "good snapshot, but a newer version made it: it can be read here, not used";
	if (offline_committing(off))
		return "the snapshot has ended; 'blksnap restore' erases what is left";
	return "good snapshot; 'blksnap restore' leads back to it";
}

static int check(struct offline *off, const struct request *req)
{
	int status = !off->has_log ? BOW_OK : offline_good(off) ? BOW_DONE : BOW_DAMAGED;

	if (req->flags.json)
		print_json(off, req, "verdict", status == BOW_OK ? "no-log" :
			   status == BOW_DONE ? "good" : "damaged", status,
			   off->has_tail ? offline_json(off) : NULL);
	if (status == BOW_DAMAGED)
		return refuse(off, req);
	if (req->flags.json || req->flags.quiet)
		return status;
	printf("%s: %s\n", req->store, status ? advice(off) : nothing.text);
	if (status)
		offline_print(off);
	return status;
}

/* ---- a store that is a file ----------------------------------------------------- */

static bool will_write(const struct request *req)
{
	return req->cmd == &cmd_restore && !req->flags.dry_run;
}

static int open_both(struct offline *off, const struct request *req, const char *store)
{
	return offline_open_apart(off, req->origin, store, will_write(req));
}

/* Nobody has mounted it while we have it open. */
static int open_inside(struct offline *off, struct request *req)
{
	struct bow_dev claim;
	int status = BOW_OK;

	if (!req->has_sector) {
		status = bow_dev_open(&claim, req->origin, false);
		if (status)
			return status;
		status = inside_find(req->origin, req->store, &req->sector);
		bow_dev_close(&claim);
	} else {
		req->store = req->origin;
	}
	return status ? status :
	       offline_open_inside(off, req->origin, req->sector, will_write(req));
}

/* The lock is held until we have claimed the device, so that nobody takes it for left over. */
static int open_file(struct offline *off, struct request *req)
{
	int status = snap_begin();

	if (!status)
		status = snap_reopen(&req->again, req->store, req->origin);
	if (status)
		return status;
	status = open_both(off, req, req->again.node);
	if (status && req->again.ours)
		snap_reopen_end(&req->again);
	/* In messages it is what the user has named. */
	off->store.path = req->store;
	snap_unlock();
	return status;
}

static int close_file(const struct request *req)
{
	int status = snap_lock();

	if (!status)
		snap_reopen_end(&req->again);
	return status;
}

static int read_and_act(struct offline *off, struct request *req)
{
	int status;

	if (req->cmd == &cmd_dump)
		return dump_log(off, req->flags.json);
	if (will_write(req))
		offline_keep(off, req->memory);
	status = offline_read(off, COW_CHECK_ALL, req->flags.quiet || req->flags.json);

	if (status)
		return status;
	return req->cmd == &cmd_restore ? restore(off, req) : check(off, req);
}

/* ---- the command line --------------------------------------------------------- */

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "inside", no_argument, NULL, OPT_INSIDE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "quiet", no_argument, NULL, 'q' },
	{ "sector", required_argument, NULL, OPT_SECTOR },
	{ "stop-after", required_argument, NULL, OPT_STOP_AFTER },
	{ "store", required_argument, NULL, OPT_STORE },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	switch (c) {
	case OPT_STORE:
		req->store = optarg;
		return -1;
	case OPT_INSIDE:
		req->inside = true;
		return -1;
	case OPT_SECTOR:
		req->has_sector = true;
		return !parse_number(optarg, &req->sector) ? -1 :
			bow_usage_error(req->cmd, "--sector wants the number that 'blksnap take' has told");
	}
	if (c == OPT_MEMORY)
		return bow_memory_option(req->cmd, &req->memory);
	if (c == OPT_STOP_AFTER)	/* for tests: a cut at that write */
		return bow_stop_after_option(req->cmd, &req->stop_after);
	return bow_common_option(req->cmd, c);
}

static int check_usage(const struct request *req)
{
	if (req->has_sector && (req->store || req->inside))
		return bow_usage_error(req->cmd, "--sector is instead of --store");
	if (!req->store && !req->has_sector)
		return bow_usage_error(req->cmd, "--store is missing");
	return BOW_OK;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct request req = { .cmd = cmd, .memory = KEEP_DEFAULT };
	struct offline off;
	bool inside, is_file;
	int status = bow_parse(cmd, argc, argv, options, &req.flags, take_option, &req,
			       "one origin, please", &req.origin);

	if (status >= 0)
		return status;
	status = check_usage(&req);
	if (status)
		return status;
	inside = req.inside || req.has_sector;
	is_file = !inside && snap_was_store(req.store);
	status = inside ? open_inside(&off, &req) :
		 is_file ? open_file(&off, &req) : open_both(&off, &req, req.store);
	if (status)
		return status;
	off.stop_after = req.stop_after;
	status = read_and_act(&off, &req);
	offline_close(&off);
	if (is_file && req.again.ours)
		close_file(&req);
	return status;
}

static int run_restore(int argc, char **argv)
{
	return run(&cmd_restore, argc, argv);
}

static int run_check(int argc, char **argv)
{
	return run(&cmd_check, argc, argv);
}

static int run_dump(int argc, char **argv)
{
	return run(&cmd_dump, argc, argv);
}

const struct command cmd_restore = {
	.name = "restore",
	.summary = "roll an origin back to a snapshot, offline",
	.usage =
	"[options] --store <store> <origin>\n"
	"       blksnap restore [options] --sector <number> <origin>\n\n"
	"Roll the device back to the snapshot that is in the store. Neither may be in\n"
	"use. Everything is verified before the first write. Finishes an interrupted\n"
	"restore of its own accord.\n\n"
	"Options:\n"
	"      --store <store>  the store: a block device, an image of one, or a file as at\n"
	"                       the take\n"
	"      --inside         it is a file on the origin itself, an ext4 that is not\n"
	"                       mounted; the path is from the root of that\n"
	"      --sector <n>     the same, any filesystem; it begins there, as take has said\n"
	"  -n, --dry-run        verify only, write nothing\n"
	"      --json           report as JSON\n"
	"      --memory <size>  keep so much of what was verified in memory, so that it is\n"
	"                       not read twice (default: half of what is free)\n"
	"  -q, --quiet          no report, no progress\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n\n"
	"Exit status: 0 no snapshot, 1 rolled back (or the end of a snapshot finished), 2\n"
	"usage, 4 log damaged and nothing written, 8 I/O or system error, 16 a device is\n"
	"in use.\n",
	.run = run_restore,
};

const struct command cmd_check = {
	.name = "check",
	.summary = "verify the snapshot in a store",
	.usage =
	"[options] --store <store> <origin>\n"
	"       blksnap check [options] --sector <number> <origin>\n\n"
	"Verify every page, record and backup; write nothing.\n\n"
	"Options:\n"
	"      --store <store>  the store: a block device, an image of one, or a file as at\n"
	"                       the take\n"
	"      --inside         it is a file on the origin itself, an ext4 that is not\n"
	"                       mounted; the path is from the root of that\n"
	"      --sector <n>     the same, any filesystem; it begins there, as take has said\n"
	"      --json           report as JSON\n"
	"  -q, --quiet          exit status and errors only\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n\n"
	"Exit status: 0 no snapshot, 1 a good one, 2 usage, 4 log damaged, 8 I/O or system\n"
	"error, 16 a device is in use.\n",
	.run = run_check,
};

const struct command cmd_dump = {
	.name = "dump",
	.summary = "print everything the log of a snapshot says",
	.usage =
	"[options] --store <store> <origin>\n"
	"       blksnap dump [options] --sector <number> <origin>\n\n"
	"Print both slots, every page and every record, newest first, each with a\n"
	"verdict. In a record the source is a sector of the origin, all else are sectors of\n"
	"the store, of 512 bytes.\n\n"
	"Options:\n"
	"      --store <store>  the store: a block device, an image of one, or a file as at\n"
	"                       the take\n"
	"      --inside         it is a file on the origin itself, an ext4 that is not\n"
	"                       mounted; the path is from the root of that\n"
	"      --sector <n>     the same, any filesystem; it begins there, as take has said\n"
	"      --json           as JSON\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n\n"
	"Exit status: as of 'blksnap check'.\n",
	.run = run_dump,
};
