// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow boot activate: before anything is mounted.
 */
#include "verbs.h"

static const char * const endings[] = {
	[BOOT_END_NOTHING] = "none",
	[BOOT_END_RESTORE] = "roll-back",
	[BOOT_END_COMMIT] = "commit",
	[BOOT_END_FINISH] = "finish",
};

static const char * const makes[] = {
	[BOOT_MAKE_NOTHING] = "none",
	[BOOT_MAKE_LINEAR] = "linear",
	[BOOT_MAKE_BOW] = "bow",
	[BOOT_MAKE_RESUME] = "resume",
};

static const char * const notes[] = {
	[BOOT_NOTE_NOTHING] = NULL,
	[BOOT_NOTE_FOREIGN] = "foreign",
	[BOOT_NOTE_DAMAGED] = "damaged",
	[BOOT_NOTE_IN_USE] = "in-use",
	[BOOT_NOTE_PARTIAL] = "partial",
	[BOOT_NOTE_UNPROTECTED] = "unprotected",
};

static int explain_note(const struct boot *boot, const struct boot_plan *plan,
			unsigned int i)
{
	const struct boot_place *place = &boot->file.place[i];

	switch (plan->dev[i].note) {
	case BOOT_NOTE_DAMAGED:
		return fail(BOW_DAMAGED, "%s: the log on %s cannot be used, so nothing is made of it; 'bow check %s' says why, 'bow restore --roll-forward %s' keeps the present contents",
			    place->name, place->device, place->device, place->device);
	case BOOT_NOTE_IN_USE:
		return fail(BOW_REFUSED, "%s: a rollback is due, and the device is in use; reboot",
			    place->name);
	case BOOT_NOTE_PARTIAL:
		return fail(BOW_REFUSED, "%s: its checkpoint was ended by somebody, those of other devices were not, so nothing is done; end them as well, by 'bow restore' or 'bow commit', or say 'bow boot abort' to have the rest rolled back",
			    place->name);
	case BOOT_NOTE_UNPROTECTED:
		warn_msg("%s: not part of the checkpoint that is on trial, so a rollback will not touch it",
			 place->name);
		break;
	default:
		break;
	}
	return 0;
}

/* Is the one that was meant called otherwise? Then it runs without protection. */
static void tell_stranger(const struct boot *boot, const struct boot_state *state)
{
	if (state->verdict == BOOT_ARMED && !boot_is_new(state, &boot->run.in) &&
	    boot_is_named(state) && strcmp(boot->system, state->old_system) &&
	    strcmp(boot->system, state->new_system))
		error_msg("a checkpoint is armed for %s, and this is %s: nothing is protected; if it is what was meant, 'bow boot arm --system' wants that name",
			  state->new_system, boot->system);
}

static int explain(const struct boot *boot, const struct boot_plan *plan)
{
	int status = 0;
	unsigned int i;

	boot_tell_foreign(boot);
	tell_stranger(boot, &plan->then);
	for (i = 0; i < boot->run.in.nr; i++) {
		const struct boot_device *dev = &boot->run.in.dev[i];
		int r = explain_note(boot, plan, i);

		if (!r && dev->configured && boot->chosen[i] && dev->log == BOOT_LOG_UNKNOWN)
			r = fail(BOW_SYSTEM, "%s: there is no %s", boot->file.place[i].name,
				 boot->file.place[i].device);
		status = max(status, r);
	}
	return status;
}

static struct json_object *plan_json(const struct boot *boot, const struct boot_plan *plan)
{
	struct json_object *list = json_object_new_array();
	unsigned int i;

	for (i = 0; i < boot->run.in.nr; i++) {
		struct json_object *obj = json_object_new_object();

		json_add_string(obj, "name", boot->file.place[i].name);
		json_add_string(obj, "device", boot->file.place[i].device);
		json_add_string(obj, "ending", endings[plan->dev[i].ending]);
		json_add_string(obj, "make", makes[plan->dev[i].make]);
		json_add_string(obj, "note", notes[plan->dev[i].note]);
		json_object_array_add(list, obj);
	}
	return list;
}

static void report_json(const struct boot *boot, const struct boot_request *req,
			const struct boot_plan *plan, int status)
{
	struct json_object *obj = json_report();

	json_add_string(obj, "system", boot->system);
	json_add_string(obj, "verdict", boot_verdict_name(plan->then.verdict));
	json_add_bool(obj, "rejected", plan->rejected);
	json_add_bool(obj, "rolled_back", plan->rolled_back);
	json_add_bool(obj, "refused", plan->refused);
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	json_add_number(obj, "status", (u64)status);
	json_object_object_add(obj, "devices", plan_json(boot, plan));
	json_print(obj);
}

static void report_dry(const struct boot *boot, const struct boot_plan *plan)
{
	unsigned int i;

	printf("would record: %s\n", boot_verdict_name(plan->then.verdict));
	for (i = 0; i < boot->run.in.nr; i++)
		printf("%s: would end: %s, would make: %s\n", boot->file.place[i].name,
		       endings[plan->dev[i].ending], makes[plan->dev[i].make]);
}

static bool restores(const struct boot_plan *plan)
{
	unsigned int i, nr = 0;

	for (i = 0; i < BOOT_DEVICES; i++)
		nr += plan->dev[i].ending == BOOT_END_RESTORE;
	return nr;
}

/* All logs are verified before the first is rolled back: all of them or none. */
static int make_plan(struct boot *boot, struct boot_plan *plan)
{
	int status;

	boot_plan(&boot->run.state, &boot->run.in, plan);
	if (!restores(plan) || boot->thorough)
		return 0;
	boot->thorough = true;
	status = boot->run.ops->look(&boot->run);
	if (!status)
		boot_plan(&boot->run.state, &boot->run.in, plan);
	return status;
}

int verb_activate(struct boot *boot, const struct boot_request *req)
{
	struct boot_plan *plan = calloc(1, sizeof(*plan));
	int status, told;

	if (!plan)
		return fail(BOW_SYSTEM, "out of memory");
	status = make_plan(boot, plan);
	if (!status) {
		told = explain(boot, plan);
		if (!req->flags.dry_run)
			status = boot_do_plan(&boot->run, plan);
		status = max(status, told);
		if (!status && plan->rejected)
			status = BOOT_EXIT_REBOOT;
		if (req->flags.json)
			report_json(boot, req, plan, status);
		else if (req->flags.dry_run)
			report_dry(boot, plan);
	}
	free(plan);
	return status;
}
