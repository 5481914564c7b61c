// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow check: verify a log as restore would, and write nothing.
 */
#include "bow.h"
#include "rescue.h"

static int judge(const struct offline *off)
{
	if (!off->has_log)
		return BOW_OK;
	return offline_good(off) ? BOW_DONE : BOW_DAMAGED;
}

static void print_json(const struct offline *off, int status)
{
	static const char * const verdicts[] = {
		[BOW_OK] = "no-log", [BOW_DONE] = "good", [BOW_DAMAGED] = "damaged",
		[BOW_REFUSED] = "not-used",
	};
	struct json_object *obj = json_report();

	json_add_string(obj, "device", off->dev.path);
	json_add_string(obj, "verdict", verdicts[status]);
	json_add_number(obj, "status", (u64)status);
	json_object_object_add(obj, "log", off->has_tail ? offline_json(off) : NULL);
	json_object_object_add(obj, "error", offline_json_error(off));
	if (off->scanned)
		json_object_object_add(obj, "logs", rescue_json(off));
	json_add_number(obj, "verify_ms", (u64)off->verify_ms);
	json_print(obj);
}

static const char *advice(const struct offline *off)
{
	if (off->pic.log.read_only)
		return "but a newer version made it: it can be read here, not ended";
	switch (off->pic.log.head.state) {
	case COW_LOG_COMMITTING:
		return "a commit was interrupted: 'bow commit' or 'bow restore' finishes it";
	case COW_LOG_RESTORING:
		return "a restore was interrupted: 'bow restore' finishes it";
	}
	return off->found ? "'bow restore --scan' can use it" :
			    "can be resumed, committed and restored";
}

static void print_text(const struct offline *off, int status)
{
	if (status == BOW_OK)
		printf("%s: no log\n", off->dev.path);
	if (status != BOW_DONE)
		return;
	printf("%s: good log; %s\n", off->dev.path, advice(off));
	offline_print(off);
}

static const struct option options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, 'q' },
	RESCUE_OPTIONS,
	BOW_COMMON_OPTIONS
};

struct request {
	const char *path;
	struct bow_flags flags;
	struct rescue rescue;
};

static void report(const struct offline *off, const struct request *req,
		   int status)
{
	if (req->flags.json)
		print_json(off, status);
	else if (!req->flags.quiet)
		print_text(off, status);
}

static int check(const struct request *req)
{
	bool quiet = req->flags.json || req->flags.quiet;
	struct offline off;
	int status = offline_open(&off, req->path, false);

	if (status)
		return status;
	status = offline_read(&off, COW_CHECK_ALL, quiet);
	if (!status)
		status = rescue_look(&off, &req->rescue, quiet);
	if (!status) {
		status = judge(&off);
		report(&off, req, status);
		if (status == BOW_DAMAGED)
			offline_complain(&off);
	} else if (status != BOW_SYSTEM && req->flags.json) {
		print_json(&off, status);
	}
	offline_close(&off);
	return status;
}

static int take_option(int c, void *data)
{
	struct request *req = data;

	return rescue_option(&cmd_check, &req->rescue, c);
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse(&cmd_check, argc, argv, options, &req.flags,
			       take_option, &req, "one device or image, please",
			       &req.path);

	if (status >= 0)
		return status;
	if (req.rescue.has_uuid && !req.rescue.scan)
		return bow_usage_error(&cmd_check, "--uuid goes with --scan");
	return check(&req);
}

const struct command cmd_check = {
	.name = "check",
	.summary = "verify the log on a device or image",
	.usage =
	"[options] <device|image>\n\n"
	"Verify every page, record and backup; write nothing.\n\n"
	"Options:\n"
	"      --json      report as JSON\n"
	"  -q, --quiet     exit status and errors only\n"
	"      --scan      block 0 has been overwritten: read all of the device, list\n"
	"                  the logs that are found\n"
	"      --uuid <uuid>\n"
	"                  with --scan: verify that one only\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 no log, 1 a good log is there, 2 usage, 4 log damaged,\n"
	"8 I/O or system error, 16 device in use, or a log that is not used without\n"
	"being asked to.\n",
	.run = run,
};
