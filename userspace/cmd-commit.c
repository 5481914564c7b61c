// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow commit: give a checkpoint up, on the live device or offline.
 */
#include <sys/stat.h>

#include "bow.h"
#include "live.h"
#include "mnt.h"
#include "rescue.h"

struct request {
	const char *what;
	struct bow_flags flags;
	u64 stop_after;
};

static void report(const struct request *req, const char *action,
		   const char *text)
{
	struct json_object *obj;

	if (!req->flags.json) {
		printf("%s: %s%s\n", req->what, req->flags.dry_run ? "would be " : "",
		       text);
		return;
	}
	obj = json_report();
	json_add_string(obj, "device", req->what);
	json_add_string(obj, "action", action);
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	json_print(obj);
}

/* ---- live ------------------------------------------------------------------- */

static int commit_live(const struct request *req)
{
	struct bow_status st;
	int status = bow_dm_open();

	if (!status)
		status = bow_dm_status(req->what, &st);
	if (status)
		return status;
	if (strcmp(st.state, "checkpoint")) {
		if (!req->flags.json)
			printf("%s: state is %s, nothing to commit\n", req->what,
			       st.state);
		else
			report(req, "none", "");
		return strcmp(st.state, "failed") ? BOW_OK : BOW_REFUSED;
	}
	status = req->flags.dry_run ? 0 : live_commit(&st);
	if (!status)
		report(req, "committed", "committed");
	return status;
}

/* ---- offline ---------------------------------------------------------------- */

/* A restore that was cut has half the old contents back: only forward now. */
static int finish_restore(struct offline *off, const struct request *req)
{
	int status;

	if (off->error)
		return offline_complain(off);
	status = req->flags.dry_run ? 0 : offline_restore(off, req->flags.json);
	if (status)
		return status;
	report(req, "restore-finished",
	       "rolled back: an interrupted restore is finished");
	return BOW_DONE;
}

static int refuse_damaged(const struct offline *off)
{
	int status = offline_complain(off);

	if (off->has_tail)
		error_msg("to give the checkpoint up nevertheless: bow restore --roll-forward %s",
			  off->dev.path);
	return status;
}

static int commit_read(struct offline *off, const struct request *req)
{
	bool finish = offline_committing(off);
	int status;

	if (!off->has_log) {
		if (!req->flags.json)
			printf("%s: no log, nothing to commit\n", req->what);
		else
			report(req, "none", "");
		return BOW_OK;
	}
	status = offline_refuse_read_only(off);
	if (status)
		return status;
	if (off->has_tail && off->pic.log.head.state == COW_LOG_RESTORING)
		return finish_restore(off, req);
	if (!offline_good(off))
		return refuse_damaged(off);
	status = req->flags.dry_run ? 0 : offline_commit(off);
	if (status)
		return status;
	report(req, finish ? "commit-finished" : "committed", "committed");
	return BOW_OK;
}

static const struct rescue no_scan;

static int commit_offline(const struct request *req)
{
	struct offline off;
	int status = offline_open(&off, req->what, !req->flags.dry_run);

	if (status)
		return status;
	off.dev.stop_after = req->stop_after;
	status = offline_read(&off, COW_CHECK_ALL, req->flags.json);
	if (!status)
		status = rescue_look(&off, &no_scan, true);
	if (!status)
		status = commit_read(&off, req);
	offline_close(&off);
	return status;
}

static bool is_live(const char *what)
{
	char name[USER_TEXT];
	struct stat file;

	/* No such file: a name of a dm device, or a path with a typing error. */
	if (stat(what, &file))
		return !strchr(what, '/');
	return S_ISBLK(file.st_mode) && device_is_bow(file.st_rdev, name);
}

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "stop-after", required_argument, NULL, OPT_STOP_AFTER },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	if (c != OPT_STOP_AFTER)	/* for tests: a cut at that write */
		return bow_common_option(&cmd_commit, c);
	return bow_stop_after_option(&cmd_commit, &req->stop_after);
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse(&cmd_commit, argc, argv, options, &req.flags,
			       take_option, &req,
			       "one name, device or image, please", &req.what);

	if (status >= 0)
		return status;
	return is_live(req.what) ? commit_live(&req) : commit_offline(&req);
}

const struct command cmd_commit = {
	.name = "commit",
	.summary = "keep the present contents, give the checkpoint up",
	.usage =
	"[options] <name|device|image>\n\n"
	"Give the checkpoint of a live bow device up, or of a device or image that is\n"
	"not in use. Finishes an interrupted commit; an interrupted restore is finished\n"
	"too, which rolls the device back.\n\n"
	"Options:\n"
	"  -n, --dry-run   check only\n"
	"      --json      report as JSON\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 committed or nothing to commit, 1 rolled back, 2 usage,\n"
	"4 log damaged and nothing written, 8 I/O or system error, 16 refused.\n",
	.run = run,
};
