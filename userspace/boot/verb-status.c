// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow boot status: where a transaction stands, for people and for scripts.
 */
#include <libsmartcols/libsmartcols.h>

#include "verbs.h"

/* The exit statuses are part of the interface, see bow-boot(8). */
enum {
	STATUS_IDLE = 0,
	STATUS_ARMED = 1,
	STATUS_TRIAL = 3,
	STATUS_GOOD = 5,
	STATUS_ROLLBACK = 6,
	STATUS_REJECTED = 7,
	STATUS_TROUBLE = 9,
};

static const char * const logs[] = {
	[BOOT_LOG_NONE] = "none",
	[BOOT_LOG_LIVE] = "live",
	[BOOT_LOG_COMMITTING] = "committing",
	[BOOT_LOG_RESTORING] = "restoring",
	[BOOT_LOG_DAMAGED] = "damaged",
	[BOOT_LOG_UNKNOWN] = "unknown",
};

static const char *recorded(const struct boot *boot, unsigned int i)
{
	const struct boot_record *record = &boot->run.state.dev[i];

	if (boot->run.in.dev[i].log == BOOT_LOG_LIVE &&
	    !boot_is_ours(&boot->run.state, &boot->run.in, i))
		return "foreign";
	return !record->ours ? "no" : record->has_uuid ? "yes" : "entering";
}

static const char *made(const struct boot_device *dev)
{
	if (!dev->active)
		return "no";
	return dev->collecting || dev->log == BOOT_LOG_LIVE ? "bow" : "linear";
}

static int exit_status(const struct boot *boot)
{
	const struct boot_state *state = &boot->run.state;
	unsigned int i;

	if (boot->file.bad || boot_has_foreign(state, &boot->run.in))
		return STATUS_TROUBLE;
	for (i = 0; i < boot->run.in.nr; i++)
		if (boot->run.in.dev[i].log == BOOT_LOG_DAMAGED)
			return STATUS_TROUBLE;
	if (boot_is_rejected(state, &boot->run.in))
		return STATUS_REJECTED;
	switch (state->verdict) {
	case BOOT_ARMED:
		return STATUS_ARMED;
	case BOOT_ENTERING:
	case BOOT_TRIAL:
		return STATUS_TRIAL;
	case BOOT_GOOD:
	case BOOT_COMMIT:
		return STATUS_GOOD;
	case BOOT_ROLLBACK:
		return STATUS_ROLLBACK;
	default:
		return STATUS_IDLE;
	}
}

struct json_object *boot_devices_json(const struct boot *boot)
{
	struct json_object *list = json_object_new_array();
	unsigned int i;

	for (i = 0; i < boot->run.in.nr; i++) {
		const struct boot_place *place = &boot->file.place[i];
		const struct boot_device *dev = &boot->run.in.dev[i];
		struct json_object *obj = json_object_new_object();
		char uuid[UUID_TEXT];

		json_add_string(obj, "name", place->name);
		json_add_string(obj, "device", place->device);
		json_add_string(obj, "mountpoint", place->conf ? place->conf->mountpoint : NULL);
		json_add_string(obj, "made", made(dev));
		json_add_string(obj, "log", logs[dev->log]);
		json_add_string(obj, "uuid", dev->log == BOOT_LOG_LIVE ?
				format_uuid(uuid, dev->uuid) : NULL);
		json_add_string(obj, "recorded", recorded(boot, i));
		json_object_array_add(list, obj);
	}
	return list;
}

static int show_table(const struct boot *boot)
{
	static const char * const columns[] = {
		"NAME", "DEVICE", "MOUNTPOINT", "MADE", "LOG", "RECORDED",
	};
	struct libscols_table *table = scols_new_table();
	struct libscols_line *line;
	unsigned int i;

	for (i = 0; table && i < ARRAY_SIZE(columns); i++)
		if (!scols_table_new_column(table, columns[i], 0.1, 0))
			return fail(BOW_SYSTEM, "out of memory");
	for (i = 0; table && i < boot->run.in.nr; i++) {
		const struct boot_place *place = &boot->file.place[i];
		const struct boot_device *dev = &boot->run.in.dev[i];

		line = scols_table_new_line(table, NULL);
		if (!line)
			return fail(BOW_SYSTEM, "out of memory");
		scols_line_set_data(line, 0, place->name);
		scols_line_set_data(line, 1, place->device);
		scols_line_set_data(line, 2, place->conf ? place->conf->mountpoint : "-");
		scols_line_set_data(line, 3, made(dev));
		scols_line_set_data(line, 4, logs[dev->log]);
		scols_line_set_data(line, 5, recorded(boot, i));
	}
	if (!table)
		return fail(BOW_SYSTEM, "out of memory");
	scols_print_table(table);
	scols_unref_table(table);
	return 0;
}

static void show_state(const struct boot *boot)
{
	const struct boot_state *state = &boot->run.state;

	printf("verdict: %s%s\n", boot->file.bad ? "unknown" : boot_verdict_name(state->verdict),
	       state->rejected ? ", the new system is rejected" : "");
	if (*boot->system)
		printf("system: %s\n", boot->system);
	if (state->verdict == BOOT_IDLE)
		return;
	if (state->any)
		printf("new system: whatever boots next\n");
	else if (boot_is_named(state))
		printf("new system: %s, old system: %s\n", state->new_system, state->old_system);
	printf("attempts left: %llu of %llu\n", (unsigned long long)state->attempts_left,
	       (unsigned long long)state->attempts);
}

int verb_status(struct boot *boot, const struct boot_request *req)
{
	struct json_object *obj;
	int r = 0;

	if (req->flags.json) {
		obj = json_report();
		boot_state_json(obj, boot);
		json_add_number(obj, "status", (u64)exit_status(boot));
		json_object_object_add(obj, "devices", boot_devices_json(boot));
		json_print(obj);
	} else {
		show_state(boot);
		r = show_table(boot);
	}
	boot_tell_foreign(boot);
	return r ? r : exit_status(boot);
}
