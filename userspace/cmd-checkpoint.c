// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow checkpoint: from here on old contents are saved.
 */
#include "bow.h"
#include "critical.h"
#include "live.h"

struct request {
	const char *name;
	struct bow_flags flags;
	u64 pause_ms;
};

static void report(const struct request *req, const struct bow_status *st,
		   const struct critical *crit)
{
	struct json_object *obj;
	char size[SIZE_TEXT];

	if (req->flags.json) {
		obj = json_report();
		json_add_string(obj, "name", st->name);
		json_add_string(obj, "state", st->state);
		json_add_number(obj, "free_blocks", st->free);
		json_add_number(obj, "block_bytes", (u64)st->block_sectors << 9);
		json_add_bool(obj, "dry_run", req->flags.dry_run);
		snprintf(size, sizeof(size), "%.1f", crit->ms);
		json_object_object_add(obj, "suspended_ms",
				       json_object_new_double_s(crit->ms, size));
		json_print(obj);
		return;
	}
	format_size(size, st->free * st->block_sectors << 9);
	if (req->flags.dry_run)
		printf("%s: would be checkpointed, %s free for backups\n",
		       st->name, size);
	else
		printf("%s: checkpoint taken, suspended for %.1f ms, %s free for backups\n",
		       st->name, crit->ms, size);
}

static int take_checkpoint(const struct request *req, struct bow_status *st)
{
	struct critical crit = { .pause_ms = (unsigned int)req->pause_ms };
	int status = 0;

	if (!req->flags.dry_run) {
		status = critical_message(&crit, st->name, "checkpoint");
		if (!status && crit.error)
			status = live_explain(st, crit.error);
		if (!status)
			status = bow_dm_status(req->name, st);
	}
	if (!status)
		report(req, st, &crit);
	return status;
}

static int checkpoint(const struct request *req)
{
	struct bow_status st;
	int status = bow_dm_open();

	if (!status)
		status = bow_dm_status(req->name, &st);
	if (!status)
		status = live_may_checkpoint(&st);
	if (status)
		return status;
	live_prepare(&st, req->flags.dry_run);
	return take_checkpoint(req, &st);
}

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "test-pause-ms", required_argument, NULL, OPT_TEST_PAUSE_MS },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	if (c != OPT_TEST_PAUSE_MS)	/* for tests: time to kill us in */
		return bow_common_option(&cmd_checkpoint, c);
	if (!parse_number(optarg, &req->pause_ms) && req->pause_ms <= 3600000)
		return -1;
	return bow_usage_error(&cmd_checkpoint, "--test-pause-ms wants a number");
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse(&cmd_checkpoint, argc, argv, options, &req.flags,
			       take_option, &req, "one name, please", &req.name);

	return status >= 0 ? status : checkpoint(&req);
}

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.summary = "take a checkpoint of a bow device, mounted or not",
	.usage =
	"[options] <name>\n\n"
	"Freeze, take a checkpoint, go on. Free space must be known: 'bow trim' first.\n\n"
	"Options:\n"
	"  -n, --dry-run   check only\n"
	"      --json      report as JSON\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 refused, as when there is too\n"
	"little free space.\n",
	.run = run,
};
