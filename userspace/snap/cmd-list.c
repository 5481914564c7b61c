// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap list: origins and their snapshots at a glance.
 */
#include <libsmartcols/libsmartcols.h>
#include <sys/sysmacros.h>

#include "snap.h"

enum {
	COL_NAME, COL_STATE, COL_SIZE, COL_BLOCK, COL_KEPT, COL_PRIVATE,
	COL_STORE, COL_USED, COL_MEMORY, COL_MODE,
};

static const struct {
	const char *name;
	int flags;
} columns[] = {
	[COL_NAME] = { "NAME", SCOLS_FL_TREE },
	[COL_STATE] = { "STATE", 0 },
	[COL_SIZE] = { "SIZE", SCOLS_FL_RIGHT },
	[COL_BLOCK] = { "BLOCK", SCOLS_FL_RIGHT },
	[COL_KEPT] = { "KEPT", SCOLS_FL_RIGHT },
	[COL_PRIVATE] = { "PRIVATE", SCOLS_FL_RIGHT },
	[COL_STORE] = { "STORE", 0 },
	[COL_USED] = { "USED", SCOLS_FL_RIGHT },
	[COL_MEMORY] = { "MEMORY", SCOLS_FL_RIGHT },
	[COL_MODE] = { "MODE", 0 },
};

static bool is_wanted(const struct snap_dev *dev, const char *name)
{
	return !name || !strcmp(dev->name, name);
}

/* ---- for people ---------------------------------------------------------------------- */

static void set_size(struct libscols_line *line, size_t column, u64 bytes)
{
	char text[SIZE_TEXT];

	if (bytes)
		scols_line_set_data(line, column, format_size(text, bytes));
}

static void fill_image(struct libscols_line *line, const struct snap_dev *dev)
{
	char node[USER_TEXT], percent[16];

	scols_line_set_data(line, COL_MODE, dev->mode);
	set_size(line, COL_KEPT, dev->blocks_kept * dev->block_bytes);
	set_size(line, COL_PRIVATE, dev->blocks_private * dev->block_bytes);
	scols_line_set_data(line, COL_STORE, device_node(dev->store_text, node));
	if (!dev->store_sectors)
		return;
	snprintf(percent, sizeof(percent), "%.0f%%",
		 100.0 * (double)dev->store_used / (double)dev->store_sectors);
	scols_line_set_data(line, COL_USED, percent);
}

static struct libscols_line *add_line(struct libscols_table *table,
				      struct libscols_line *parent,
				      const struct snap_dev *dev)
{
	struct libscols_line *line = scols_table_new_line(table, parent);

	if (!line)
		return NULL;
	scols_line_set_data(line, COL_NAME, dev->name);
	scols_line_set_data(line, COL_STATE,
			    dev->suspended ? "suspended" : dev->state);
	set_size(line, COL_SIZE, dev->sectors << 9);
	set_size(line, COL_BLOCK, dev->block_bytes);
	set_size(line, COL_MEMORY, dev->memory);
	if (dev->kind == SNAP_IMAGE)
		fill_image(line, dev);
	return line;
}

static int add_tree(struct libscols_table *table, const struct snap_list *list,
		    const char *name)
{
	const struct snap_dev *origin, *image;
	struct libscols_line *parent = NULL;
	unsigned int i, j;

	for (i = 0; i < list->nr; i++) {
		origin = &list->devs[i];
		if (origin->kind != SNAP_ORIGIN || !is_wanted(origin, name))
			continue;
		parent = add_line(table, NULL, origin);
		for (j = 0; parent && j < list->nr; j++) {
			image = &list->devs[j];
			if (image->kind == SNAP_IMAGE &&
			    snap_origin_of(list, image) == origin &&
			    !add_line(table, parent, image))
				parent = NULL;
		}
		if (!parent)
			return fail(BOW_SYSTEM, "out of memory");
	}
	return BOW_OK;
}

/* Those whose origin is gone. */
static int add_orphans(struct libscols_table *table, const struct snap_list *list)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_IMAGE &&
		    !snap_origin_of(list, &list->devs[i]) &&
		    !add_line(table, NULL, &list->devs[i]))
			return fail(BOW_SYSTEM, "out of memory");
	return BOW_OK;
}

static int show_table(const struct snap_list *list, const char *name)
{
	struct libscols_table *table = scols_new_table();
	int status = BOW_OK;
	size_t i;

	for (i = 0; table && i < ARRAY_SIZE(columns); i++)
		if (!scols_table_new_column(table, columns[i].name, 0.1,
					    columns[i].flags))
			status = BOW_SYSTEM;
	if (!table || status)
		return fail(BOW_SYSTEM, "out of memory");
	status = add_tree(table, list, name);
	if (!status && !name)
		status = add_orphans(table, list);
	if (!status && !scols_table_is_empty(table))
		scols_print_table(table);
	scols_unref_table(table);
	return status;
}

/* ---- for programs ---------------------------------------------------------------------- */

static struct json_object *common_json(const struct snap_dev *dev)
{
	struct json_object *obj = json_object_new_object();
	char number[32];

	snprintf(number, sizeof(number), "%u:%u", major(dev->number),
		 minor(dev->number));
	json_add_string(obj, "name", dev->name);
	json_add_string(obj, "dm_uuid", dev->uuid);
	json_add_string(obj, "number", number);
	json_add_string(obj, "lower", dev->lower_text);
	json_add_string(obj, "state", dev->state);
	json_add_bool(obj, "suspended", dev->suspended);
	json_add_number(obj, "open_count", (u64)dev->open_count);
	json_add_number(obj, "size_bytes", dev->sectors << 9);
	json_add_number(obj, "block_bytes", dev->block_bytes);
	json_add_number(obj, "memory_bytes", dev->memory);
	return obj;
}

static struct json_object *image_json(const struct snap_dev *origin,
				      const struct snap_dev *dev)
{
	struct json_object *obj = common_json(dev);
	char node[USER_TEXT], id[SNAP_ID];

	json_add_string(obj, "snapshot", *dev->set_name ? dev->set_name : NULL);
	json_add_string(obj, "uuid", *dev->set_uuid ? dev->set_uuid : NULL);
	json_add_string(obj, "mode", dev->mode);
	snap_id(id, origin, dev);
	json_add_string(obj, "id", *id ? id : NULL);
	json_add_string(obj, "store", device_node(dev->store_text, node));
	json_add_number(obj, "store_used_bytes", dev->store_used << 9);
	json_add_number(obj, "store_bytes", dev->store_sectors << 9);
	json_add_number(obj, "kept_blocks", dev->blocks_kept);
	json_add_number(obj, "private_blocks", dev->blocks_private);
	return obj;
}

/* The images of an origin, or with NULL those that have none. */
static struct json_object *images_json(const struct snap_list *list,
				       const struct snap_dev *origin)
{
	struct json_object *array = json_object_new_array();
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_IMAGE &&
		    snap_origin_of(list, &list->devs[i]) == origin)
			json_object_array_add(array,
					      image_json(origin, &list->devs[i]));
	return array;
}

static struct json_object *origin_json(const struct snap_list *list,
				       const struct snap_dev *dev)
{
	struct json_object *obj = common_json(dev);
	char node[USER_TEXT];

	json_add_string(obj, "device", device_node(dev->lower_text, node));
	json_add_number(obj, "cbt_block_bytes", dev->cbt_bytes);
	json_add_string(obj, "persistent", strcmp(dev->persistent, "-") ? dev->persistent : NULL);
	json_add_string(obj, "tracking", dev->tracking ?
			device_node(dev->tracking_text, node) : NULL);
	json_add_bool(obj, "tracking_lost", dev->tracking_lost);
	json_add_number(obj, "copied_blocks", dev->blocks_copied);
	json_add_number(obj, "ahead_blocks", dev->blocks_ahead);
	json_add_number(obj, "copies", dev->copies);
	json_add_number(obj, "groups", dev->groups);
	json_add_number(obj, "memory_peak_bytes", dev->memory_peak);
	json_object_object_add(obj, "snapshots", images_json(list, dev));
	return obj;
}

static void show_json(const struct snap_list *list, const char *name)
{
	struct json_object *obj = json_report();
	struct json_object *origins = json_object_new_array();
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_ORIGIN &&
		    is_wanted(&list->devs[i], name))
			json_object_array_add(origins,
					      origin_json(list, &list->devs[i]));
	json_object_object_add(obj, "origins", origins);
	if (!name)
		json_object_object_add(obj, "without_origin",
				       images_json(list, NULL));
	json_print(obj);
}

static int list_all(const char *wanted, bool json)
{
	struct snap_dev origin;
	struct snap_list list;
	int status = bow_dm_open();

	if (!status && wanted)
		status = snap_origin_read(wanted, &origin);
	if (!status)
		status = snap_list_read(&list);
	if (status)
		return status;
	snap_file_tell_leftover(&list);
	/* It may have been given as a path. */
	wanted = wanted ? origin.name : NULL;
	if (json)
		show_json(&list, wanted);
	else
		status = show_table(&list, wanted);
	snap_list_free(&list);
	return status;
}

static const struct option options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	BOW_COMMON_OPTIONS
};

static int run(int argc, char **argv)
{
	struct bow_flags flags = { 0 };
	int status = bow_parse_options(&cmd_list, argc, argv, options, &flags,
				       NULL, NULL);

	if (status >= 0)
		return status;
	if (optind + 1 < argc)
		return bow_usage_error(&cmd_list, "one origin at most, please");
	return list_all(optind < argc ? argv[optind] : NULL, flags.json);
}

const struct command cmd_list = {
	.name = "list",
	.summary = "list origins and snapshots",
	.usage =
	"[options] [<origin>]\n\n"
	"List all origins and the images of their snapshots, or those of one origin.\n\n"
	"Options:\n"
	"      --json      as JSON, with every counter\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Columns: KEPT is the size of old contents that the store has for the image,\n"
	"PRIVATE of what was written to the image, USED the part of the store that is in\n"
	"use, by all its images together.\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 not an origin.\n",
	.run = run,
};
