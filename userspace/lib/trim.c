// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which blocks of a bow device are free.
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

#include "command.h"
#include "extfree.h"
#include "trim.h"

/* Rounding to blocks and a filesystem's own reserves lose some. */
#define ENOUGH_PERCENT 90

u64 trim_collected(const struct trim *trim)
{
	return trim->after.free * trim->after.block_sectors << 9;
}

bool trim_falls_short(const struct trim *trim)
{
	return trim_collected(trim) * 100 < trim->free_bytes * ENOUGH_PERCENT;
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

void trim_warn(const struct trim *trim)
{
	warn_msg("%s: only %llu%% of the free space was collected; the rest cannot take backups",
		 trim->before.name,
		 (unsigned long long)(trim_collected(trim) * 100 / trim->free_bytes));
	if (trim->mounted)
		advise(trim);
}

/* ---- all of it -------------------------------------------------------------- */

int trim_run(struct trim *trim)
{
	int status;

	if (trim->mounted) {
		status = trim_mounted(trim);
		return status ? status : count_mounted(trim);
	}
	return extfree_discard(trim->before.name, &trim->offered_bytes,
			       &trim->free_bytes);
}

int trim_find(struct trim *trim, const char *what)
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
