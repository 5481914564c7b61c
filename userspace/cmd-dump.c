// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow dump: everything a log says.
 */
#include "bow.h"
#include "dump.h"
#include "rescue.h"

struct dump {
	struct offline off;
	struct rescue rescue;
	bool json;
};

/* Any log will do to be shown, be it alone or the one that is named. */
static int find_log(struct dump *dump)
{
	struct offline *off = &dump->off;
	struct scan_log *log;
	int status = offline_read(off, COW_CHECK_TAIL, true);

	if (status || !rescue_needed(off))
		return status;
	status = rescue_find(off, true);
	if (status || !off->scan.nr)
		return status;
	if (!dump->json)
		rescue_print(off);
	log = rescue_pick(off, &dump->rescue);
	if (!log)
		return fail(BOW_REFUSED, "%s: choose one of these logs with --uuid",
			    off->dev.path);
	if (!log->page)
		return fail(BOW_REFUSED, "%s: the slot 1 of this log is not there",
			    off->dev.path);
	return rescue_read(off, log, true);
}

static int dump_all(struct dump *dump)
{
	int status = dump->rescue.scan ? find_log(dump) : 0;

	return status ? status : dump_log(&dump->off, dump->json);
}

static const struct option options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	RESCUE_OPTIONS,
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct dump *dump = data;

	return rescue_option(&cmd_dump, &dump->rescue, c);
}

static int run(int argc, char **argv)
{
	struct bow_flags flags = { 0 };
	struct dump dump = { .json = false };
	const char *path;
	int status = bow_parse(&cmd_dump, argc, argv, options, &flags, take_option,
			       &dump, "one device or image, please", &path);

	if (status >= 0)
		return status;
	if (dump.rescue.has_uuid && !dump.rescue.scan)
		return bow_usage_error(&cmd_dump, "--uuid goes with --scan");
	dump.json = flags.json;
	status = offline_open(&dump.off, path, false);
	if (status)
		return status;
	status = dump_all(&dump);
	offline_close(&dump.off);
	return status;
}

const struct command cmd_dump = {
	.name = "dump",
	.summary = "print everything the log on a device or image says",
	.usage =
	"[options] <device|image>\n\n"
	"Print both slots, every page and every record, newest first, each with a\n"
	"verdict. Places and lengths are in sectors of 512 bytes.\n\n"
	"Options:\n"
	"      --json      as JSON\n"
	"      --scan      block 0 has been overwritten: read all of the device, list\n"
	"                  the logs that are found, show the one there is\n"
	"      --uuid <uuid>\n"
	"                  with --scan: show that one\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: as of 'bow check'.\n",
	.run = run,
};
