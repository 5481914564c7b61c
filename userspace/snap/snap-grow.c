// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A store that becomes larger: the kernel lets nobody extend a file that it holds, so
 * another one is put behind it. The store's device gets a table that has both; the
 * origins hear nothing of it.
 */
#include <errno.h>
#include <libgen.h>
#include <unistd.h>

#include "snap-swap.h"

#define MAX_FILES 1000

/* The first name of its kind that is free, beside the store's first file. */
static int choose_path(struct snap_growth *growth)
{
	const struct snap_dev *dev = growth->dev;
	struct stat st;
	unsigned int n;

	for (n = 1; n < MAX_FILES; n++) {
		if (snprintf(growth->path, PATH_MAX, "%s.%u", dev->path, n) >= PATH_MAX)
			break;
		if (!lstat(growth->path, &st))
			continue;
		if (errno != ENOENT)
			break;
		return BOW_OK;
	}
	return fail(BOW_REFUSED, "there is no name '%s.<number>' to be had for another file", dev->path);
}

/* Another filesystem may be mounted there by now. */
static int check_place(const struct snap_growth *growth)
{
	char copy[PATH_MAX];
	struct stat st;

	snprintf(copy, sizeof(copy), "%s", growth->path);
	if (stat(dirname(copy), &st))
		return fail(BOW_SYSTEM, "%s: %s", growth->path, strerror(errno));
	if (st.st_dev != growth->dev->file_dev)
		return fail(BOW_REFUSED, "%s is not on the filesystem of the store any more",
			    growth->path);
	return BOW_OK;
}

static int swap_table(struct snap_growth *growth, const char *old, const char *line)
{
	struct snap_swap swap = { .name = growth->dev->name, .old_table = old };
	char *table;
	int status;

	if (asprintf(&table, "%s%s", old, line) < 0)
		return fail(BOW_SYSTEM, "out of memory");
	swap.new_table = table;
	status = snap_swap(&swap);
	free(table);
	growth->ms = swap.ms;
	if (swap.error == ENOSPC)
		error_msg("%s: what snapshots still need of the place of %s does not fit into the store; nothing was changed",
			  growth->dev->path, growth->path);
	return status ? status : swap.error ? BOW_SYSTEM : BOW_OK;
}

static int append(struct snap_growth *growth, const struct snap_store *store,
		  const struct snap_map *map)
{
	char *old = snap_table_read(growth->dev->name);
	char line[SNAP_FILE_LINE];
	int status;

	if (!old)
		return fail(BOW_SYSTEM, "%s: no table to be had", growth->dev->name);
	snap_file_line(line, store, snap_table_end(old), map);
	status = swap_table(growth, old, line);
	snap_table_free(old);
	return status;
}

static int make_and_append(struct snap_growth *growth)
{
	struct snap_store store = {
		.path = growth->path, .wanted_bytes = growth->bytes,
		.is_file = true, .create = true, .below = growth->dev->lower,
	};
	struct snap_map map = { .table = NULL };
	int status = snap_file_make(&store, &map);

	if (!status)
		status = append(growth, &store, &map);
	if (status)
		snap_file_undo(&store);
	else
		growth->added = map.sectors << 9;
	if (store.create)
		snap_note("");
	return status;
}

/* After a reboot nobody knew which files it was made of. */
static int check_log(const struct snap_growth *growth)
{
	const struct snap_dev *devs = growth->list->devs;
	bool logged = snap_store_has_log(growth->dev->number, 0);
	unsigned int i;

	/* As long as its origin is suspended there is no log. */
	for (i = 0; i < growth->list->nr; i++)
		if (devs[i].kind == SNAP_IMAGE && devs[i].store == growth->dev->number)
			logged |= !strcmp(devs[i].mode, "persistent");
	if (!logged)
		return BOW_OK;
	return fail(BOW_REFUSED, "%s: the store of a persistent snapshot is one file; take it with a larger --size, or into a logical volume, which can be extended",
		    growth->dev->path);
}

int snap_grow(struct snap_growth *growth, bool dry_run)
{
	u64 page = (u64)sysconf(_SC_PAGESIZE);
	sigset_t old;
	int status = check_log(growth);

	growth->bytes = (growth->bytes + page - 1) / page * page;
	growth->added = growth->bytes;
	if (!status)
		status = choose_path(growth);
	if (!status)
		status = check_place(growth);
	if (!status)
		status = snap_check_settled(growth->dev);
	if (status || dry_run)
		return status;
	/* A signal must not leave a file behind that nobody knows of. */
	block_signals(&old);
	status = make_and_append(growth);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}
