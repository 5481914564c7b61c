// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow trim: tell a bow device which blocks are free.
 *
 * A mounted filesystem is asked by FITRIM. Filesystems leave out what they
 * believe to be trimmed already, each in its own way, so what arrived is
 * compared with what the filesystem says is free.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bow.h"
#include "critical.h"
#include "dm.h"
#include "extfree.h"
#include "mnt.h"

/* Rounding to blocks and a filesystem's own reserves lose some. */
#define ENOUGH_PERCENT 90

struct request {
	const char *what;
	struct bow_flags flags;
	bool reclaim;
};

struct trim {
	struct bow_status before, after;
	struct mount mnt;
	bool mounted;
	u64 free_bytes;		/* as the filesystem says */
	u64 offered_bytes;	/* as FITRIM says, or by the bitmaps */
};

static u64 collected_bytes(const struct trim *trim)
{
	return trim->after.free * trim->after.block_sectors << 9;
}

static bool falls_short(const struct trim *trim)
{
	return collected_bytes(trim) * 100 < trim->free_bytes * ENOUGH_PERCENT;
}

/* ---- mounted ---------------------------------------------------------------- */

static int fitrim(int fd, u64 minlen, u64 *offered)
{
	struct fstrim_range range = { .len = UINT64_MAX, .minlen = minlen };

	if (ioctl(fd, FITRIM, &range))
		return -errno;
	*offered = range.len;
	return 0;
}

/*
 * ext4 leaves groups out that were trimmed since the mount, unless the last
 * run asked for longer extents than this one. So ask for the longest first:
 * that is one group, and more is an error.
 */
static void ext4_offer_all_again(int fd)
{
	u64 minlen, offered;

	for (minlen = 1ULL << 40; minlen >= 1 << 20; minlen >>= 1)
		if (fitrim(fd, minlen, &offered) != -EINVAL)
			break;
}

static int trim_mounted(struct trim *trim)
{
	const struct mount *mnt = &trim->mnt;
	int fd = open(mnt->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", mnt->target, strerror(errno));
	/* What was deleted just now may be free only after this. */
	if (syncfs(fd))
		warn_msg("%s: sync: %s", mnt->target, strerror(errno));
	if (!strcmp(mnt->fstype, "ext4"))
		ext4_offer_all_again(fd);
	r = fitrim(fd, 0, &trim->offered_bytes);
	close(fd);
	if (!r)
		return BOW_OK;
	if (r == -EOPNOTSUPP || r == -ENOTTY)
		return fail(BOW_REFUSED, "%s: %s cannot say what is free (no FITRIM); for ext2 and ext3 unmount it, then 'bow trim %s' reads its bitmaps",
			    mnt->target, mnt->fstype, trim->before.name);
	return fail(BOW_SYSTEM, "%s: FITRIM: %s", mnt->target, strerror(-r));
}

static int count_mounted(struct trim *trim)
{
	struct statvfs fs;

	if (statvfs(trim->mnt.target, &fs))
		return fail(BOW_SYSTEM, "%s: %s", trim->mnt.target,
			    strerror(errno));
	trim->free_bytes = (u64)fs.f_bfree * fs.f_frsize;
	return BOW_OK;
}

static void advise(const struct trim *trim)
{
	const struct mount *mnt = &trim->mnt;

	if (!strcmp(mnt->fstype, "f2fs") && mount_has_option(mnt, "discard"))
		error_msg("f2fs offers nothing while mounted with 'discard': mount -o remount,nodiscard %s, then trim again",
			  mnt->target);
	else if (!strcmp(mnt->fstype, "f2fs"))
		error_msg("f2fs takes its free space for trimmed already: create a file, sync, unmount, mount -o nodiscard, then trim again");
	else if (!strcmp(mnt->fstype, "btrfs"))
		error_msg("btrfs offers unallocated space once per mount: unmount, mount and trim again before anything else does");
	else
		error_msg("blocks smaller than %u bytes or freed in a running transaction are left out; sync and trim again, or choose a smaller block size",
			  trim->after.block_sectors << 9);
}

/* ---- all of it -------------------------------------------------------------- */

static int run_trim(struct trim *trim)
{
	int status;

	if (trim->mounted) {
		status = trim_mounted(trim);
		return status ? status : count_mounted(trim);
	}
	return extfree_discard(trim->before.name, &trim->offered_bytes,
			       &trim->free_bytes);
}

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
	json_add_number(obj, "collected_bytes", collected_bytes(trim));
	json_add_number(obj, "free_bytes", trim->free_bytes);
	json_add_bool(obj, "shortfall", short_of);
	json_print(obj);
}

static void report(const struct trim *trim, const struct request *req)
{
	bool short_of = !req->reclaim && falls_short(trim);
	char collected[SIZE_TEXT], free_size[SIZE_TEXT];

	if (req->flags.json)
		report_json(trim, short_of);
	else
		printf("%s: %s collected, the filesystem has %s free\n",
		       trim->before.name,
		       format_size(collected, collected_bytes(trim)),
		       format_size(free_size, trim->free_bytes));
	if (!short_of)
		return;
	warn_msg("%s: only %llu%% of the free space was collected; the rest cannot take backups",
		 trim->before.name,
		 (unsigned long long)(collected_bytes(trim) * 100 / trim->free_bytes));
	if (trim->mounted)
		advise(trim);
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
	status = run_trim(trim);
	if (!status && req->reclaim)
		status = run_reclaim(trim);
	if (!status)
		status = bow_dm_status(trim->before.name, &trim->after);
	if (!status)
		report(trim, req);
	return status;
}

/* A directory means what is mounted there, anything else names a device. */
static int find(struct trim *trim, const char *what)
{
	const char *name = what;
	struct stat st;
	int status;

	if (!stat(what, &st) && S_ISDIR(st.st_mode)) {
		if (mount_at(what, &trim->mnt) != 1)
			return fail(BOW_REFUSED, "nothing is mounted on %s", what);
		trim->mounted = true;
		name = trim->mnt.source;
	}
	status = bow_dm_status(name, &trim->before);
	if (!status && !trim->mounted)
		trim->mounted = mount_of_device(trim->before.number,
						&trim->mnt) == 1;
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
		status = find(&trim, req.what);
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
