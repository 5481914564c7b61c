// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Another table for a live dm device. The suspend drains the I/O that the old
 * table has under way and holds back what comes; it need not freeze anything, as
 * what is on the device is the same before and after. Were this process killed,
 * the guardian's resume would finish the swap.
 */
#include <errno.h>
#include <libdevmapper.h>
#include <sys/sysmacros.h>

#include "snap-swap.h"

u64 snap_table_end(const char *table)
{
	unsigned long long start, length;
	u64 end = 0;

	for (; table && *table; table = strchr(table, '\n') + 1)
		if (sscanf(table, "%llu %llu", &start, &length) == 2)
			end = max(end, start + length);
	return end;
}

static int told(int r, const char *what, const char *name)
{
	error_msg("cannot %s %s: %s; the kernel log may say why ('dmesg | tail')",
		  what, name, strerror(-r));
	bow_dm_print_log();
	return r;
}

static int make_real(const struct snap_swap *swap, char origin[BOW_DM_NAME])
{
	struct snap_dev real;
	int r = snap_create(swap->real, swap->real_uuid, swap->old_table, true);

	if (r == -ENOKEY) {
		error_msg("%s: its key is in the kernel's keyring, from where it cannot be had again; 'cryptsetup refresh --disable-keyring %s' first",
			  swap->name, swap->name);
		bow_dm_forget_log();
		return r;
	}
	if (r)
		return told(r, "create", swap->real);
	if (snap_dev_read(swap->real, &real))
		return -EIO;
	snprintf(origin, BOW_DM_NAME, "0 %llu " SNAP_ORIGIN_TARGET " %u:%u%s\n",
		 (unsigned long long)snap_table_end(swap->old_table),
		 major(real.number), minor(real.number), swap->features ?: "");
	return 0;
}

/* Nobody may have changed the table while the other device was made. */
static int check_same(const struct snap_swap *swap)
{
	char *table = snap_table_read(swap->name);
	bool same = table && !strcmp(table, swap->old_table);

	snap_table_free(table);
	if (same)
		return 0;
	error_msg("%s: somebody else has changed its table just now; try again",
		  swap->name);
	return -EAGAIN;
}

static int prepare(void *data)
{
	const struct snap_swap *swap = data;
	char origin[BOW_DM_NAME];
	int r = 0;

	if (swap->create_real)
		r = make_real(swap, origin);
	if (!r)
		r = check_same(swap);
	if (r)
		return r;
	r = snap_load(swap->name, swap->new_table ? swap->new_table : origin);
	return r ? told(r, "load a table into", swap->name) : 0;
}

static void undo(void *data)
{
	const struct snap_swap *swap = data;

	snap_clear(swap->name);
	/* Whichever table is in use now, it cannot be removed if that needs it. */
	if (*swap->real)
		snap_remove_uuid(swap->real_uuid);
	bow_dm_forget_log();
}

static int explain(const struct snap_swap *swap, const struct critical *crit)
{
	if (crit->stage == CRITICAL_PREPARE)
		return crit->error == EAGAIN || crit->error == ENOKEY ?
		       BOW_REFUSED : BOW_SYSTEM;
	error_msg("%s: cannot suspend: %s; nothing was changed", swap->name,
		  strerror(crit->error));
	bow_dm_print_log();
	return BOW_SYSTEM;
}

int snap_swap(struct snap_swap *swap)
{
	struct critical crit = {
		.names = &swap->name, .nr_names = 1,
		.no_lockfs = true, .swap = true,
		.prepare = prepare, .undo = undo, .data = swap,
		.wait = swap->wait,
	};
	int status = critical_run(&crit);

	swap->ms = crit.ms;
	swap->error = crit.interrupted ? EINTR : crit.error;
	if (!status && crit.error)
		status = explain(swap, &crit);
	if (!status && *swap->real && !swap->create_real &&
	    snap_remove_uuid(swap->real_uuid))
		warn_msg("%s is not needed any more but cannot be removed: try 'dmsetup remove %s'",
			 swap->real, swap->real);
	return status;
}
