// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A live bow device: the beginning of a checkpoint, and its end.
 */
#include <errno.h>

#include "command.h"
#include "live.h"
#include "mnt.h"

int live_may_checkpoint(const struct bow_status *st)
{
	if (!strcmp(st->state, "checkpoint"))
		return fail(BOW_REFUSED, "%s has a checkpoint already; commit it or roll it back first",
			    st->name);
	if (!strcmp(st->state, "failed"))
		return fail(BOW_REFUSED, "%s has failed: the kernel log says why",
			    st->name);
	if (st->suspended)
		return fail(BOW_REFUSED, "%s is suspended by somebody else; 'dmsetup resume %s' if that is over",
			    st->name, st->name);
	if (!st->free)
		return fail(BOW_REFUSED, "%s: no free block is known, so there is no room for backups; 'bow trim %s' first",
			    st->name, st->name);
	return BOW_OK;
}

/* Say what will not be as good as it sounds. */
static void warn_about(const struct bow_status *st, const struct mount *mnt,
		       bool mounted)
{
	char user[USER_TEXT];

	if (mounted && !strcmp(mnt->fstype, "btrfs"))
		warn_msg("%s: btrfs is not frozen by a suspend: the checkpoint is as after a power cut",
			 st->name);
	else if (!mounted && device_user(st->number, user))
		warn_msg("%s is %s: filesystems above that are not frozen, the checkpoint is as after a power cut",
			 st->name, user);
}

int live_explain(const struct bow_status *st, int err)
{
	char size[SIZE_TEXT];

	if (err != ENOSPC) {
		error_msg("%s: the kernel refuses: %s; 'dmesg | tail' says more",
			  st->name, strerror(err));
		bow_dm_print_log();
		return err == EBUSY || err == EINVAL ? BOW_REFUSED : BOW_SYSTEM;
	}
	return fail(BOW_REFUSED, "%s: too little free space to begin: %llu of %llu blocks (%s) are free; the kernel log has the number needed; delete something and 'bow trim %s'",
		    st->name, (unsigned long long)st->free,
		    (unsigned long long)st->total,
		    format_size(size, st->free * st->block_sectors << 9),
		    st->name);
}

void live_prepare(const struct bow_status *st, bool dry_run)
{
	struct mount mnt;
	bool mounted = mount_of_device(st->number, &mnt) == 1;

	warn_about(st, &mnt, mounted);
	if (mounted && !dry_run)
		mount_sync(&mnt);
	mount_free(&mnt);
}

/* ---- commit ----------------------------------------------------------------- */

static int explain_message(const struct bow_status *st, int r)
{
	error_msg("%s: the kernel refuses to commit: %s; 'dmesg | tail' says more",
		  st->name, strerror(-r));
	bow_dm_print_log();
	return r == -EBUSY ? BOW_REFUSED : BOW_SYSTEM;
}

int live_commit(const struct bow_status *st)
{
	int r = bow_dm_message(st->name, "commit");

	return r ? explain_message(st, r) : BOW_OK;
}
