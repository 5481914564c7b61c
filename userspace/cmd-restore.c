// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow restore: roll a device or an image back to its checkpoint.
 */
#include "bow.h"
#include "rescue.h"

struct request {
	const char *path;
	struct bow_flags flags;
	bool roll_forward;
	bool discard_log;
	struct rescue rescue;
	u64 stop_after;
	u64 memory;
};

/* What is to be done about a log, and how it is called. */
struct action {
	const char *name;	/* for programs */
	const char *text;	/* for people, after the name of the device */
	const char *dry_text;
	bool commit;
};

static const struct action nothing = {
	"none", "no log, nothing to do", "no log, nothing to do", false,
};
static const struct action roll_back = {
	"rolled-back", "rolled back", "would be rolled back", false,
};
static const struct action finish_restore = {
	"restore-finished", "rolled back: an interrupted restore was finished",
	"would be rolled back: a restore was interrupted", false,
};
static const struct action finish_commit = {
	"commit-finished", "not rolled back: an interrupted commit was finished",
	"would not be rolled back: a commit was interrupted and would be finished",
	true,
};
static const struct action roll_forward = {
	"rolled-forward", "rolled forward: the checkpoint is given up",
	"would be rolled forward: the checkpoint would be given up", true,
};

/* NULL if the log is of no use. */
static const struct action *choose(const struct offline *off,
				   const struct request *req)
{
	bool restoring = off->has_tail &&
			 off->pic.log.head.state == COW_LOG_RESTORING;

	if (!off->has_log)
		return &nothing;
	if (offline_committing(off))
		return &finish_commit;
	if (req->roll_forward && off->has_tail && !restoring)
		return &roll_forward;
	if (off->error)
		return NULL;
	return restoring ? &finish_restore : &roll_back;
}

static int refuse(const struct offline *off, const struct request *req)
{
	int status = offline_complain(off);

	if (off->error == COW_LOG_BAD_HEADER || off->error == COW_LOG_OVERWRITTEN)
		error_msg("'bow restore --scan %s' looks for the rest of the log; 'bow restore --discard-log %s' gives it up",
			  req->path, req->path);
	else if (off->error == COW_LOG_WRONG_SIZE)
		error_msg("name the device that the bow device was made on, not a part or a copy of another size");
	else if (off->error == COW_LOG_WRONG_KIND)
		error_msg("%s is the store of a snapshot of another device", req->path);
	else if (off->has_tail && !req->roll_forward &&
		 off->pic.log.head.state == COW_LOG_CHECKPOINT)
		error_msg("the present contents are still whole; to keep them and give the checkpoint up: bow restore --roll-forward %s",
			  req->path);
	else
		error_msg("'bow dump %s' shows what there is; restore the device from a backup",
			  req->path);
	return status;
}

static void print_text(const struct offline *off, const struct request *req,
		       const struct action *action, double ms)
{
	u64 bytes = action->commit ? 0 : off->restore_sectors << 9;
	char size[SIZE_TEXT], time[TIME_TEXT];

	if (req->flags.quiet)
		return;
	if (action == &nothing) {
		printf("%s: %s\n", req->path, action->text);
		return;
	}
	printf("%s: %s (checkpoint of %s", req->path,
	       req->flags.dry_run ? action->dry_text : action->text,
	       format_time(time, off->pic.log.head.time));
	if (!action->commit)
		printf(", %s", format_size(size, bytes));
	printf(", %.1f s)\n", (ms + off->verify_ms) / 1e3);
}

/* @log: as it was before anything was done. */
static void print_json(const struct offline *off, const struct request *req,
		       const struct action *action, int status, double ms,
		       struct json_object *log)
{
	struct json_object *obj = json_report();

	json_add_string(obj, "device", req->path);
	json_add_string(obj, "action", action ? action->name : "refused");
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	json_add_number(obj, "status", (u64)status);
	json_object_object_add(obj, "log", log);
	json_object_object_add(obj, "error", offline_json_error(off));
	if (off->scanned)
		json_object_object_add(obj, "logs", rescue_json(off));
	json_add_number(obj, "verify_ms", (u64)off->verify_ms);
	json_add_number(obj, "write_ms", (u64)ms);
	json_print(obj);
}

static int act(struct offline *off, const struct request *req,
	       const struct action *action)
{
	int status = BOW_OK;

	if (action == &nothing)
		return BOW_OK;
	status = offline_refuse_read_only(off);
	if (status)
		return status;
	if (req->flags.dry_run)
		return BOW_DONE;
	if (off->found)
		status = rescue_adopt(off, action->commit ? COW_LOG_COMMITTING :
				      COW_LOG_RESTORING);
	if (status)
		return status;
	status = action->commit ? offline_commit(off) :
				  offline_restore(off, req->flags.quiet || req->flags.json);
	return status ? status : BOW_DONE;
}

static int report_refusal(const struct offline *off, const struct request *req,
			  int status)
{
	if (req->flags.json && status != BOW_SYSTEM)
		print_json(off, req, NULL, status, 0, NULL);
	return status;
}

static int restore(struct offline *off, const struct request *req)
{
	const struct action *action;
	struct json_object *log;
	double start;
	int status;

	off->dev.stop_after = req->stop_after;
	if (!req->flags.dry_run)
		offline_keep(off, req->memory);
	status = offline_read(off, COW_CHECK_ALL, req->flags.quiet || req->flags.json);
	if (!status)
		status = rescue_look(off, &req->rescue, req->flags.quiet || req->flags.json);
	if (status)
		return report_refusal(off, req, status);
	action = choose(off, req);
	log = req->flags.json && off->has_tail ? offline_json(off) : NULL;
	start = now_ms();
	status = action ? act(off, req, action) : refuse(off, req);
	if (req->flags.json)
		print_json(off, req, action, status, now_ms() - start, log);
	else if (status <= BOW_DONE)
		print_text(off, req, action, now_ms() - start);
	return status;
}

/* ---- giving up ------------------------------------------------------------ */

/* Is there no other way, for anybody, to bring this log to an end? */
static bool is_useless(const struct offline *off)
{
	if (!off->has_log)
		return true;
	if (off->error == COW_LOG_BAD_VERSION || off->error == COW_LOG_BAD_FEATURES ||
	    off->error == COW_LOG_WRONG_KIND)
		return false;
	return off->error && (!off->has_tail ||
			      off->pic.log.head.state == COW_LOG_RESTORING);
}

static int refuse_discard(const struct offline *off)
{
	if (off->error == COW_LOG_WRONG_KIND)
		return fail(BOW_REFUSED, "%s is the store of a snapshot; nothing was written",
			    off->dev.path);
	if (!off->has_tail)
		return fail(BOW_REFUSED, "%s: %s: a newer bow can use this log; nothing was written",
			    off->dev.path, cow_log_strerror(off->error));
	return fail(BOW_REFUSED, "%s: the log is of use: 'bow restore' rolls back, 'bow restore --roll-forward' keeps the present contents; nothing was written",
		    off->dev.path);
}

static void report_discard(const struct request *req, u64 erased)
{
	struct json_object *obj;

	if (req->flags.json) {
		obj = json_report();
		json_add_string(obj, "device", req->path);
		json_add_string(obj, "action", "discarded");
		json_add_bool(obj, "dry_run", req->flags.dry_run);
		json_add_number(obj, "erased", erased);
		json_print(obj);
	} else if (!req->flags.quiet) {
		printf("%s: %llu log headers %serased, no other block is touched\n",
		       req->path, (unsigned long long)erased,
		       req->flags.dry_run ? "would be " : "");
	}
}

/* What is left of logs that can not be used goes; nothing is put back. */
static int discard(struct offline *off, const struct request *req)
{
	u64 erased;
	int status;

	off->dev.stop_after = req->stop_after;
	status = offline_read(off, COW_CHECK_ALL, req->flags.quiet || req->flags.json);
	if (status)
		return status;
	if (!is_useless(off))
		return refuse_discard(off);
	status = rescue_find(off, req->flags.quiet || req->flags.json);
	if (!status && !req->flags.quiet && !req->flags.json)
		rescue_print(off);
	if (!status)
		status = rescue_discard(off, req->flags.dry_run, &erased);
	if (status)
		return status;
	report_discard(req, erased);
	return erased ? BOW_DONE : BOW_OK;
}

static const struct option options[] = {
	{ "discard-log", no_argument, NULL, OPT_DISCARD_LOG },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "force-incomplete", no_argument, NULL, OPT_FORCE_INCOMPLETE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "quiet", no_argument, NULL, 'q' },
	{ "roll-forward", no_argument, NULL, OPT_ROLL_FORWARD },
	{ "stop-after", required_argument, NULL, OPT_STOP_AFTER },
	RESCUE_OPTIONS,
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	switch (c) {
	case OPT_ROLL_FORWARD:
		req->roll_forward = true;
		return -1;
	case OPT_DISCARD_LOG:
		req->discard_log = true;
		return -1;
	case OPT_FORCE_INCOMPLETE:
		req->rescue.incomplete = true;
		return -1;
	case OPT_SCAN:
	case OPT_UUID:
		return rescue_option(&cmd_restore, &req->rescue, c);
	case OPT_MEMORY:
		return bow_memory_option(&cmd_restore, &req->memory);
	case OPT_STOP_AFTER:	/* for tests: a cut at that write */
		return bow_stop_after_option(&cmd_restore, &req->stop_after);
	}
	return bow_common_option(&cmd_restore, c);
}

/* -1: go on; else an exit status. */
static int parse_options(int argc, char **argv, struct request *req)
{
	int status = bow_parse(&cmd_restore, argc, argv, options, &req->flags,
			       take_option, req, "one device or image, please",
			       &req->path);

	if (status >= 0)
		return status;
	if ((req->rescue.has_uuid || req->rescue.incomplete) && !req->rescue.scan)
		return bow_usage_error(&cmd_restore, "--uuid and --force-incomplete go with --scan");
	if (req->discard_log && (req->rescue.scan || req->roll_forward))
		return bow_usage_error(&cmd_restore, "--discard-log does not go with --scan or --roll-forward");
	return -1;
}

static int run(int argc, char **argv)
{
	struct request req = { .memory = KEEP_DEFAULT };
	struct offline off;
	int status = parse_options(argc, argv, &req);

	if (status >= 0)
		return status;
	status = offline_open(&off, req.path, !req.flags.dry_run);
	if (status)
		return status;
	status = req.discard_log ? discard(&off, &req) : restore(&off, &req);
	offline_close(&off);
	return status;
}

const struct command cmd_restore = {
	.name = "restore",
	.summary = "roll a device or image back to its checkpoint, offline",
	.usage =
	"[options] <device|image>\n\n"
	"Roll back to the checkpoint. Everything is verified before the first write.\n"
	"Finishes an interrupted commit or restore of its own accord.\n\n"
	"Options:\n"
	"  -n, --dry-run        verify only, write nothing\n"
	"      --json           report as JSON\n"
	"      --memory <size>  keep so much of what was verified in memory, so that it is\n"
	"                       not read twice (default: half of what is free)\n"
	"  -q, --quiet          no report, no progress\n"
	"      --roll-forward   give the checkpoint up and keep the present contents,\n"
	"                       even if older parts of the log are damaged\n"
	"      --scan           block 0 has been overwritten: read all of the device to\n"
	"                       find the log\n"
	"      --uuid <uuid>    with --scan: of the log that is meant\n"
	"      --force-incomplete\n"
	"                       with --scan: use a log although something may be missing\n"
	"      --discard-log    erase the header of a log that is of no use any more;\n"
	"                       nothing is rolled back\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n\n"
	"Exit status: 0 no log, 1 rolled back (or commit finished), 2 usage,\n"
	"4 log damaged and nothing written, 8 I/O or system error, 16 device in use, or\n"
	"a log that is not used without being asked to.\n",
	.run = run,
};
