// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow trim: tell a bow device which blocks are free.
 */
#include <errno.h>

#include "bow.h"
#include "critical.h"
#include "trim.h"

struct request {
	const char *what;
	struct bow_flags flags;
	bool reclaim;
};

static int run_reclaim(const struct trim *trim)
{
	struct critical crit = { 0 };
	int status = critical_message(&crit, trim->before.name, "reclaim");

	if (status || !crit.error)
		return status;
	return fail(BOW_SYSTEM, "%s: the kernel refuses to reclaim: %s; 'dmesg | tail' says more",
		    trim->before.name, strerror(crit.error));
}

static int check_state(const struct bow_status *st, const struct request *req)
{
	if (st->suspended)
		return fail(BOW_REFUSED, "%s is suspended; 'dmsetup resume %s' first",
			    st->name, st->name);
	/* After a commit free space is collected for the next checkpoint. */
	if (!strcmp(st->state, "trim") || !strcmp(st->state, "committed"))
		return req->reclaim ?
			fail(BOW_REFUSED, "%s has no checkpoint; leave --reclaim away",
			     st->name) : BOW_OK;
	if (!strcmp(st->state, "checkpoint") && req->reclaim)
		return BOW_OK;
	if (!strcmp(st->state, "checkpoint"))
		return fail(BOW_REFUSED, "%s has a checkpoint: what is trimmed now is not collected; after a resume, --reclaim gains blocks back",
			    st->name);
	return fail(BOW_REFUSED, "%s is in state %s: nothing is collected now",
		    st->name, st->state);
}

static void report_json(const struct trim *trim, bool short_of)
{
	struct json_object *obj = json_report();

	json_add_string(obj, "name", trim->before.name);
	json_add_string(obj, "mountpoint", trim->mounted ? trim->mnt.target : NULL);
	json_add_string(obj, "filesystem", trim->mounted ? trim->mnt.fstype : NULL);
	json_add_number(obj, "offered_bytes", trim->offered_bytes);
	json_add_number(obj, "collected_bytes", trim_collected(trim));
	json_add_number(obj, "free_bytes", trim->free_bytes);
	json_add_bool(obj, "shortfall", short_of);
	json_print(obj);
}

static void report(const struct trim *trim, const struct request *req)
{
	bool short_of = !req->reclaim && trim_falls_short(trim);
	char collected[SIZE_TEXT], free_size[SIZE_TEXT];

	if (req->flags.json)
		report_json(trim, short_of);
	else
		printf("%s: %s collected, the filesystem has %s free\n",
		       trim->before.name,
		       format_size(collected, trim_collected(trim)),
		       format_size(free_size, trim->free_bytes));
	if (short_of)
		trim_warn(trim);
}

static void report_dry(const struct trim *trim, const struct request *req)
{
	char size[SIZE_TEXT];

	if (req->flags.json) {
		report_json(trim, false);
		return;
	}
	format_size(size, trim->before.free * trim->before.block_sectors << 9);
	if (trim->mounted)
		printf("%s: would trim %s on %s; %s collected so far\n",
		       trim->before.name, trim->mnt.fstype, trim->mnt.target, size);
	else
		printf("%s: would discard what the ext2/3/4 bitmaps say is free; %s collected so far\n",
		       trim->before.name, size);
}

static int trim_found(struct trim *trim, const struct request *req)
{
	int status = check_state(&trim->before, req);

	if (status)
		return status;
	trim->after = trim->before;
	if (req->flags.dry_run) {
		report_dry(trim, req);
		return BOW_OK;
	}
	status = trim_run(trim);
	if (!status && req->reclaim)
		status = run_reclaim(trim);
	if (!status)
		status = bow_dm_status(trim->before.name, &trim->after);
	if (!status)
		report(trim, req);
	return status;
}

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "reclaim", no_argument, NULL, OPT_RECLAIM },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	if (c != OPT_RECLAIM)
		return bow_common_option(&cmd_trim, c);
	req->reclaim = true;
	return -1;
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	struct trim trim = { 0 };
	int status = bow_parse(&cmd_trim, argc, argv, options, &req.flags,
			       take_option, &req, "one name or mountpoint, please",
			       &req.what);

	if (status >= 0)
		return status;
	status = bow_dm_open();
	if (!status)
		status = trim_find(&trim, req.what);
	if (!status)
		status = trim_found(&trim, &req);
	mount_free(&trim.mnt);
	return status;
}

const struct command cmd_trim = {
	.name = "trim",
	.summary = "collect the free space of the filesystem on a bow device",
	.usage =
	"[options] <name|mountpoint>\n\n"
	"Have the mounted filesystem offer its free space, or read the bitmaps of an\n"
	"unmounted ext2, ext3 or ext4; warn if much less was collected than is free.\n\n"
	"Options:\n"
	"      --reclaim   with a checkpoint that was resumed: gain back blocks that\n"
	"                  are free again\n"
	"  -n, --dry-run   say what would be done\n"
	"      --json      report as JSON\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 refused.\n",
	.run = run,
};
