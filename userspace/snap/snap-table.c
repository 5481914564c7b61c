// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tables: read as text, loaded into devices, new or not.
 */
#include <errno.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <uuid/uuid.h>

#include "snap.h"

#define HIDDEN_FLAGS (DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | \
		      DM_UDEV_DISABLE_DISK_RULES_FLAG | \
		      DM_UDEV_DISABLE_OTHER_RULES_FLAG)

/* ---- reading -------------------------------------------------------------------- */

static char *table_text(struct dm_task *dmt)
{
	uint64_t start, length;
	char *type, *params, *text = NULL;
	void *next = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	do {
		type = params = NULL;
		next = dm_get_next_target(dmt, next, &start, &length, &type,
					  &params);
		if (type)
			fprintf(file, "%" PRIu64 " %" PRIu64 " %s %s\n", start,
				length, type, params ? params : "");
	} while (next);
	if (!fclose(file))
		return text;
	free(text);
	return NULL;
}

static char *read_text(int type, const char *name, const char *uuid)
{
	struct dm_task *dmt = dm_task_create(type);
	char *text = NULL;

	/* It may hold a key. */
	if (dmt && dm_task_secure_data(dmt) &&
	    (name ? dm_task_set_name(dmt, name) : dm_task_set_uuid(dmt, uuid)) &&
	    dm_task_run(dmt))
		text = table_text(dmt);
	if (dmt)
		dm_task_destroy(dmt);
	return text;
}

char *snap_table_read(const char *name)
{
	return read_text(DM_DEVICE_TABLE, name, NULL);
}

char *snap_status_read(const char *name)
{
	return read_text(DM_DEVICE_STATUS, name, NULL);
}

char *snap_status_read_uuid(const char *uuid)
{
	return read_text(DM_DEVICE_STATUS, NULL, uuid);
}

void snap_table_free(char *table)
{
	if (table)
		explicit_bzero(table, strlen(table));
	free(table);
}

/* ---- loading -------------------------------------------------------------------- */

static bool add_line(struct dm_task *dmt, const char *line)
{
	unsigned long long start, length;
	char type[64];
	int params = 0;

	return sscanf(line, "%llu %llu %63s %n", &start, &length, type,
		      &params) == 3 && params &&
	       dm_task_add_target(dmt, start, length, type, line + params);
}

static bool add_table(struct dm_task *dmt, const char *table)
{
	char *copy = strdup(table), *line, *rest = NULL;
	bool ok = copy && dm_task_secure_data(dmt);

	for (line = ok ? strtok_r(copy, "\n", &rest) : NULL; line && ok;
	     line = strtok_r(NULL, "\n", &rest))
		ok = add_line(dmt, line);
	if (copy)
		explicit_bzero(copy, strlen(table));
	free(copy);
	return ok;
}

static int destroy_and_return(struct dm_task *dmt, int r)
{
	if (dmt)
		dm_task_destroy(dmt);
	return r;
}

static int run_plain(struct dm_task *dmt)
{
	int err;

	if (dm_task_run(dmt))
		return 0;
	err = dm_task_get_errno(dmt);
	return err ? -err : -EIO;
}

static int create_empty(const char *name, const char *uuid)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_CREATE);
	int r = -ENOMEM;

	if (dmt && dm_task_set_name(dmt, name) && dm_task_set_uuid(dmt, uuid))
		r = run_plain(dmt);
	return destroy_and_return(dmt, r);
}

int snap_create_inactive(const char *name, const char *uuid, const char *table)
{
	int r = create_empty(name, uuid);

	if (r)
		return r;
	r = snap_load(name, table);
	if (r)
		snap_remove_uuid(uuid);
	return r;
}

static int resume_new(const char *name, bool hidden)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_RESUME);
	int r = -ENOMEM;

	if (dmt && dm_task_set_name(dmt, name) &&
	    dm_task_set_add_node(dmt, DM_ADD_NODE_ON_RESUME))
		r = bow_dm_run_and_wait(dmt, hidden ? HIDDEN_FLAGS : 0);
	return destroy_and_return(dmt, r);
}

/* Step by step: of a create with a table one does not hear why it failed. */
int snap_create(const char *name, const char *uuid, const char *table,
		bool hidden)
{
	int r = snap_create_inactive(name, uuid, table);

	if (r)
		return r;
	r = resume_new(name, hidden);
	if (r)
		snap_remove_uuid(uuid);
	return r;
}

int snap_load(const char *name, const char *table)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_RELOAD);
	int r = -ENOMEM;

	if (dmt && dm_task_set_name(dmt, name) && add_table(dmt, table))
		r = run_plain(dmt);
	return destroy_and_return(dmt, r);
}

int snap_clear(const char *name)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_CLEAR);
	int r = -ENOMEM;

	if (dmt && dm_task_set_name(dmt, name))
		r = run_plain(dmt);
	return destroy_and_return(dmt, r);
}

int snap_remove_uuid(const char *uuid)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_REMOVE);
	int r = -ENOMEM;

	/* udev may have it open for a moment */
	if (dmt && dm_task_set_uuid(dmt, uuid) && dm_task_retry_remove(dmt))
		r = bow_dm_run_and_wait(dmt, 0);
	return destroy_and_return(dmt, r);
}

int snap_remove_later(const char *uuid)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_REMOVE);
	int r = -ENOMEM;

	if (dmt && dm_task_set_uuid(dmt, uuid) && dm_task_deferred_remove(dmt))
		r = bow_dm_run_and_wait(dmt, 0);
	return destroy_and_return(dmt, r);
}

void snap_make_uuid(char text[BOW_DM_NAME], const char *prefix)
{
	char plain[UUID_TEXT];
	uuid_t uuid;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, plain);
	snprintf(text, BOW_DM_NAME, "%s%s", prefix, plain);
}
