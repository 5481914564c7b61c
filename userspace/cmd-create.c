// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow create: put a bow device on top of a block device.
 */
#include "bow.h"
#include "dm.h"
#include "table.h"

struct request {
	const char *name;
	const char *device;
	struct bow_table table;
	bool dry_run;
	bool json;
};

static int refuse_log(const struct request *req, const struct offline *off)
{
	if (offline_committing(off))
		return fail(BOW_REFUSED, "%s: a commit was interrupted; finish it: bow commit %s",
			    req->device, req->device);
	if (off->error)
		return offline_complain(off);
	if (off->pic.log.head.state == COW_LOG_RESTORING)
		return fail(BOW_REFUSED, "%s: a restore was interrupted; finish it: bow restore %s",
			    req->device, req->device);
	return fail(BOW_REFUSED, "%s carries a live checkpoint: roll it back ('bow restore %s'), give it up ('bow commit %s') or go on with it ('bow create --resume %s %s')",
		    req->device, req->device, req->device, req->name, req->device);
}

static int check_log(struct request *req, const struct offline *off)
{
	bool live = offline_good(off) && !offline_committing(off) &&
		    off->pic.log.head.state == COW_LOG_CHECKPOINT;

	if (off->has_log && !(live && req->table.resume))
		return refuse_log(req, off);
	if (!off->has_log && req->table.resume)
		return fail(BOW_REFUSED, "%s carries no log to go on with; leave --resume away",
			    req->device);
	return live ? bow_table_resume(&req->table, off) : BOW_OK;
}

/* Everything that can be known while the device is ours alone. */
static int check_device(struct request *req, u64 *sectors, dev_t *number)
{
	struct offline off;
	int status = offline_open(&off, req->device, false);

	if (status)
		return status;
	*sectors = off.dev.io.sectors;
	*number = off.dev.number;
	if (!off.dev.block)
		status = fail(BOW_USAGE, "%s is a file; attach it with losetup first",
			      req->device);
	else
		status = offline_read(&off, COW_CHECK_TAIL, true);
	if (!status)
		status = check_log(req, &off);
	offline_close(&off);
	return status;
}

static void report(const struct request *req, u64 sectors, const char *params)
{
	struct json_object *obj;

	if (!req->json) {
		if (req->dry_run)
			printf("would create %s: 0 %llu bow %s\n", req->name,
			       (unsigned long long)sectors, params);
		else
			printf("/dev/mapper/%s\n", req->name);
		return;
	}
	obj = json_report();
	json_add_string(obj, "name", req->name);
	json_add_string(obj, "device", req->device);
	json_add_number(obj, "sectors", sectors);
	json_add_string(obj, "params", params);
	json_add_bool(obj, "dry_run", req->dry_run);
	json_print(obj);
}

static int create(struct request *req)
{
	char params[BOW_PARAMS];
	dev_t number;
	u64 sectors;
	int status;

	status = check_device(req, &sectors, &number);
	if (!status)
		status = bow_dm_open();
	if (!status && bow_dm_exists(req->name))
		status = fail(BOW_REFUSED, "there is a dm device '%s' already; choose another name or 'bow remove %s'",
			      req->name, req->name);
	if (!status)
		status = bow_dm_need_target(BOW_TARGET, "bow");
	if (status)
		return status;
	bow_table_params(&req->table, number, params);
	if (!req->dry_run)
		status = bow_dm_create(req->name, sectors, params);
	if (!status)
		report(req, sectors, params);
	return status;
}

static const struct option options[] = {
	{ "block-size", required_argument, NULL, OPT_BLOCK_SIZE },
	{ "on-full", required_argument, NULL, OPT_ON_FULL },
	{ "low-water", required_argument, NULL, OPT_LOW_WATER },
	{ "resume", no_argument, NULL, OPT_RESUME },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, OPT_JSON },
	BOW_COMMON_OPTIONS
};

/* One option; -1: understood. */
static int take_option(int c, struct request *req)
{
	switch (c) {
	case OPT_BLOCK_SIZE:
		if (bow_table_block_size(optarg, &req->table.block_size))
			return -1;
		return bow_usage_error(&cmd_create, "--block-size wants a power of two from 4K to 1M");
	case OPT_ON_FULL:
		req->table.on_full = bow_table_policy(optarg);
		if (req->table.on_full)
			return -1;
		return bow_usage_error(&cmd_create, "--on-full wants fail, hold or commit");
	case OPT_LOW_WATER:
		req->table.has_low_water = true;
		if (!parse_number(optarg, &req->table.low_water))
			return -1;
		return bow_usage_error(&cmd_create, "--low-water wants a number of blocks");
	case OPT_RESUME:
		req->table.resume = true;
		return -1;
	case OPT_JSON:
		req->json = true;
		return -1;
	case 'n':
		req->dry_run = true;
		return -1;
	}
	return bow_common_option(&cmd_create, c);
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int c, status;

	while ((c = getopt_long(argc, argv, "nhV", options, NULL)) != -1) {
		status = take_option(c, &req);
		if (status >= 0)
			return status;
	}
	if (optind + 2 != argc)
		return bow_usage_error(&cmd_create, "a name and a device, please");
	req.name = argv[optind];
	req.device = argv[optind + 1];
	if (!*req.name || strlen(req.name) >= BOW_DM_NAME || strchr(req.name, '/'))
		return bow_usage_error(&cmd_create, "the name must be short and without '/'");
	return create(&req);
}

const struct command cmd_create = {
	.name = "create",
	.summary = "make the dm device <name> on top of a block device",
	.usage =
	"[options] <name> <device>\n\n"
	"Make /dev/mapper/<name>. Mount that in place of the device.\n\n"
	"Options:\n"
	"      --block-size <size>   4K (default) to 1M, a power of two\n"
	"      --on-full <policy>    when no free block is left to save old contents in:\n"
	"                              fail    the write fails, the checkpoint stays\n"
	"                              hold    the write waits\n"
	"                              commit  the checkpoint is given up\n"
	"      --low-water <blocks>  raise a dm event when no more are free\n"
	"      --resume              go on with the checkpoint that the device carries\n"
	"  -n, --dry-run             check everything, print the table, create nothing\n"
	"      --json                report as JSON\n"
	"  -h, --help                this text\n"
	"  -V, --version             the version\n\n"
	"Exit status: 0 done, 2 usage, 4 log damaged, 8 system error, 16 refused.\n",
	.run = run,
};
