// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow status: all bow devices, or one, at a glance.
 */
#include <libsmartcols/libsmartcols.h>
#include <sys/sysmacros.h>

#include "bow.h"
#include "dm.h"
#include "mnt.h"

#define BAR_WIDTH 20

struct column {
	const char *name;
	double width_hint;
	int flags;
};

enum {
	COL_NAME, COL_DEVICE, COL_STATE, COL_MODE, COL_SIZE, COL_FREE,
	COL_BACKUP, COL_CHANGED, COL_LOOSE, COL_USE,
};

static const struct column columns[] = {
	[COL_NAME] = { "NAME", 0.1, 0 },
	[COL_DEVICE] = { "DEVICE", 0.1, 0 },
	[COL_STATE] = { "STATE", 0.1, 0 },
	[COL_MODE] = { "MODE", 0.1, 0 },
	[COL_SIZE] = { "SIZE", 0.1, SCOLS_FL_RIGHT },
	[COL_FREE] = { "FREE", 0.1, SCOLS_FL_RIGHT },
	[COL_BACKUP] = { "BACKUP", 0.1, SCOLS_FL_RIGHT },
	[COL_CHANGED] = { "CHANGED", 0.1, SCOLS_FL_RIGHT },
	[COL_LOOSE] = { "LOOSE", 0.1, SCOLS_FL_RIGHT },
	[COL_USE] = { "ROOM", 0.1, 0 },
};

static u64 bytes(const struct bow_status *st, u64 blocks)
{
	return blocks * st->block_sectors << 9;
}

/* Of the space that was there for backups: '#' is used up, '.' is free. */
static const char *draw_room(const struct bow_status *st,
			     char bar[BAR_WIDTH + 3])
{
	u64 used = st->backup + st->log + st->loose;
	u64 all = used + st->free;
	int filled = all ? (int)(used * BAR_WIDTH / all) : 0;

	strcpy(bar, "[....................]");
	memset(bar + 1, '#', (size_t)filled);
	return bar;
}

static void set_size(struct libscols_line *line, size_t column, u64 size)
{
	char text[SIZE_TEXT];

	scols_line_set_data(line, column, format_size(text, size));
}

static int add_line(const struct bow_status *st, void *data)
{
	struct libscols_line *line = scols_table_new_line(data, NULL);
	char bar[BAR_WIDTH + 3], node[USER_TEXT];

	if (!line)
		return fail(BOW_SYSTEM, "out of memory");
	scols_line_set_data(line, COL_NAME, st->name);
	scols_line_set_data(line, COL_DEVICE, device_node(st->lower, node));
	scols_line_set_data(line, COL_STATE, st->state);
	scols_line_set_data(line, COL_MODE,
			    st->suspended ? "suspended" : st->mode);
	set_size(line, COL_SIZE, st->sectors << 9);
	set_size(line, COL_FREE, bytes(st, st->free));
	set_size(line, COL_BACKUP, bytes(st, st->backup + st->log));
	set_size(line, COL_CHANGED, bytes(st, st->changed));
	set_size(line, COL_LOOSE, bytes(st, st->loose));
	scols_line_set_data(line, COL_USE, draw_room(st, bar));
	return BOW_OK;
}

static struct libscols_table *new_table(void)
{
	struct libscols_table *table = scols_new_table();
	size_t i;

	for (i = 0; table && i < ARRAY_SIZE(columns); i++)
		if (!scols_table_new_column(table, columns[i].name,
					    columns[i].width_hint,
					    columns[i].flags))
			return NULL;
	return table;
}

static int add_json(const struct bow_status *st, void *data)
{
	struct json_object *obj = json_object_new_object();
	char number[32], node[USER_TEXT];

	snprintf(number, sizeof(number), "%u:%u", major(st->number),
		 minor(st->number));
	json_add_string(obj, "name", st->name);
	json_add_string(obj, "uuid", st->uuid);
	json_add_string(obj, "number", number);
	json_add_string(obj, "lower", st->lower);
	json_add_string(obj, "device", device_node(st->lower, node));
	json_add_string(obj, "state", st->state);
	json_add_string(obj, "mode", st->mode);
	json_add_string(obj, "on_full", st->on_full);
	json_add_bool(obj, "suspended", st->suspended);
	json_add_number(obj, "open_count", (u64)st->open_count);
	json_add_number(obj, "size_bytes", st->sectors << 9);
	json_add_number(obj, "block_bytes", (u64)st->block_sectors << 9);
	json_add_number(obj, "total_blocks", st->total);
	json_add_number(obj, "free_blocks", st->free);
	json_add_number(obj, "backup_blocks", st->backup);
	json_add_number(obj, "loose_blocks", st->loose);
	json_add_number(obj, "changed_blocks", st->changed);
	json_add_number(obj, "log_blocks", st->log);
	json_add_number(obj, "copies", st->copies);
	json_add_number(obj, "collisions", st->collisions);
	json_add_number(obj, "groups", st->groups);
	json_add_number(obj, "flushes", st->flushes);
	json_add_number(obj, "memory_bytes", st->memory);
	json_add_number(obj, "memory_peak_bytes", st->memory_peak);
	json_add_number(obj, "ahead_blocks", st->ahead);
	json_object_array_add(data, obj);
	return BOW_OK;
}

/* All devices, or the one that was named. */
static int each(const char *name,
		int (*fn)(const struct bow_status *st, void *data), void *data)
{
	struct bow_status st;
	int status = bow_dm_open();

	if (status)
		return status;
	if (!name)
		return bow_dm_each(fn, data);
	status = bow_dm_status(name, &st);
	return status ? status : fn(&st, data);
}

static int show_json(const char *name)
{
	struct json_object *list = json_object_new_array();
	struct json_object *obj = json_report();
	int status = each(name, add_json, list);

	json_object_object_add(obj, "devices", list);
	if (!status)
		json_print(obj);
	else
		json_object_put(obj);
	return status;
}

static int show_table(const char *name)
{
	struct libscols_table *table = new_table();
	int status;

	if (!table)
		return fail(BOW_SYSTEM, "out of memory");
	status = each(name, add_line, table);
	if (!status && !scols_table_is_empty(table))
		scols_print_table(table);
	scols_unref_table(table);
	return status;
}

static const struct option options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	BOW_COMMON_OPTIONS
};

static int run(int argc, char **argv)
{
	bool json = false;
	const char *name;
	int c;

	while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		if (c != OPT_JSON)
			return bow_common_option(&cmd_status, c);
		json = true;
	}
	if (optind + 1 < argc)
		return bow_usage_error(&cmd_status, "one name at most, please");
	name = optind < argc ? argv[optind] : NULL;
	return json ? show_json(name) : show_table(name);
}

const struct command cmd_status = {
	.name = "status",
	.summary = "list bow devices",
	.usage =
	"[options] [<name>]\n\n"
	"List all bow devices, or one.\n\n"
	"Options:\n"
	"      --json      as JSON, with every counter\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Columns: FREE is left for backups, BACKUP is used for them and the log, LOOSE\n"
	"was free and is written, CHANGED was saved and is written, ROOM shows how much\n"
	"of the free space is used up.\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 not a bow device.\n",
	.run = run,
};
