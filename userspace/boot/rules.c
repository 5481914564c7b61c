// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The rules: data follow the system that is booted as long as the logs are live; a
 * log is given up only for a system that is durably marked good; nothing is rolled
 * back or given up because it exists, only because that is recorded together with
 * its uuid.
 */
#include "rules.h"

/* ---- who is who ------------------------------------------------------------- */

static bool same_boot(const char *recorded, const struct boot_input *in)
{
	return *recorded && !strcmp(recorded, in->boot);
}

static void set_text(char *to, const char *text, size_t size)
{
	size_t len = strnlen(text, size - 1);

	/* The rest as well: states are compared as a whole. */
	memcpy(to, text, len);
	memset(to + len, 0, size - len);
}

bool boot_is_named(const struct boot_state *state)
{
	return strcmp(state->new_system, state->old_system);
}

bool boot_is_new(const struct boot_state *state, const struct boot_input *in)
{
	if (state->verdict == BOOT_IDLE)
		return false;
	/* It is for the next boot, not for what is left of this one. */
	if (state->verdict == BOOT_ARMED && same_boot(state->armed_in, in))
		return false;
	return state->any || !strcmp(state->new_system, in->system);
}

bool boot_is_rejected(const struct boot_state *state, const struct boot_input *in)
{
	return state->rejected && boot_is_new(state, in) && boot_is_named(state);
}

bool boot_is_ours(const struct boot_state *state, const struct boot_input *in,
		  unsigned int i)
{
	const struct boot_record *record = &state->dev[i];
	const struct boot_device *dev = &in->dev[i];

	if (!record->ours || dev->log != BOOT_LOG_LIVE)
		return false;
	if (record->has_uuid)
		return !memcmp(record->uuid, dev->uuid, sizeof(dev->uuid));
	/* The clock may have been set meanwhile, by a little. */
	return dev->time + BOOT_ENTER_SECONDS >= record->since &&
	       dev->time <= record->since + BOOT_ENTER_SECONDS;
}

/* The devices of the transaction, counted. */
struct census {
	unsigned int ours;	/* with the log that is recorded */
	unsigned int gone;	/* without it */
	unsigned int damaged, unknown;
	unsigned int restoring;
	unsigned int foreign;	/* of all devices */
};

static struct census count_logs(const struct boot_state *state,
				const struct boot_input *in)
{
	struct census c = { 0 };
	unsigned int i;

	for (i = 0; i < in->nr; i++) {
		bool ours = boot_is_ours(state, in, i);

		c.foreign += in->dev[i].log == BOOT_LOG_LIVE && !ours;
		if (!state->dev[i].ours)
			continue;
		c.restoring += in->dev[i].log == BOOT_LOG_RESTORING;
		if (in->dev[i].log == BOOT_LOG_UNKNOWN)
			c.unknown++;
		else if (in->dev[i].log == BOOT_LOG_DAMAGED)
			c.damaged++;
		else if (ours)
			c.ours++;
		else
			c.gone++;
	}
	return c;
}

bool boot_has_foreign(const struct boot_state *state, const struct boot_input *in)
{
	return count_logs(state, in).foreign;
}

/* ---- steps from one state to the next ------------------------------------------ */

static void forget_devices(struct boot_state *state)
{
	memset(state->dev, 0, sizeof(state->dev));
}

static void become_idle(struct boot_state *state)
{
	char good[BOOT_SYSTEM];

	memcpy(good, state->good_system, sizeof(good));
	memset(state, 0, sizeof(*state));
	memcpy(state->good_system, good, sizeof(good));
}

void boot_committed(struct boot_state *state)
{
	set_text(state->good_system, state->new_system, BOOT_SYSTEM);
	become_idle(state);
}

static void become_armed(struct boot_state *state, const char *new, const char *old,
			 u64 attempts)
{
	become_idle(state);
	state->verdict = BOOT_ARMED;
	set_text(state->new_system, new, BOOT_SYSTEM);
	set_text(state->old_system, old, BOOT_SYSTEM);
	state->attempts = attempts;
	state->attempts_left = attempts;
}

/*
 * The logs are gone. The boot loader may still try the new system again, which is not
 * good: if it can be told from the old one it gets a new checkpoint then. A single
 * system that was given up is what is wanted now.
 */
static void become_rolled_back(struct boot_state *state)
{
	if (state->rejected && !boot_is_named(state)) {
		become_idle(state);
		return;
	}
	state->verdict = BOOT_ARMED;
	forget_devices(state);
}

static bool is_unproven(const struct boot_state *state, const struct boot_input *in)
{
	return *in->system && *state->good_system &&
	       strcmp(in->system, state->good_system);
}

/* What is armed without anybody asking. */
static void arm_of_itself(struct boot_state *state, const struct boot_input *in)
{
	bool open = state->verdict == BOOT_IDLE ||
		    (state->verdict == BOOT_ARMED && !boot_is_new(state, in) &&
		     !same_boot(state->armed_in, in));

	if (!open || in->bad_state)
		return;
	if (in->arm == BOOT_ARM_EVERY_BOOT)
		become_armed(state, in->system, in->system, 1);
	else if (in->arm == BOOT_ARM_NEW_SYSTEM && is_unproven(state, in))
		become_armed(state, in->system, state->good_system, in->attempts);
}

/* One attempt of the new system less; false if there is none left. Once a boot. */
static bool count_attempt(struct boot_state *state, const struct boot_input *in)
{
	bool left = !state->rejected && state->attempts_left;

	if (same_boot(state->counted_in, in))
		return true;
	set_text(state->counted_in, in->boot, BOOT_ID);
	if (in->arm == BOOT_ARM_EVERY_BOOT)
		return true;
	if (left)
		state->attempts_left--;
	else
		state->rejected = true;
	return left;
}

/* ---- activate: what is to be recorded first --------------------------------------- */

static void begin_attempt(struct boot_state *state, const struct boot_input *in)
{
	if (state->any)
		set_text(state->new_system, in->system, BOOT_SYSTEM);
	state->any = false;
	state->armed_in[0] = '\0';
	if (!count_attempt(state, in) && !boot_is_named(state))
		become_idle(state);
}

static void decide_armed(struct boot_state *state, const struct boot_input *in)
{
	if (boot_is_new(state, in))
		begin_attempt(state, in);
	else
		state->attempts_left = state->attempts;	/* in a row, that is */
}

/*
 * Somebody, or the boot loader, has gone back to the old system. Should the new one ever
 * boot again it begins anew.
 */
static void roll_back(struct boot_state *state, const struct boot_input *in)
{
	state->verdict = BOOT_ROLLBACK;
	if (!boot_is_new(state, in))
		state->attempts_left = state->attempts;
}

/* Nothing has run on these checkpoints: away with them, and once more. */
static void decide_entering(struct boot_state *state, const struct boot_input *in)
{
	if (boot_is_new(state, in)) {
		if (same_boot(state->counted_in, in))
			return;		/* protect is at it */
		count_attempt(state, in);
	}
	roll_back(state, in);
}

/* Somebody has ended all the logs by hand, and so the transaction. */
static void decide_ended(struct boot_state *state, const struct boot_input *in)
{
	if (!boot_is_named(state)) {
		become_idle(state);
		return;
	}
	state->verdict = BOOT_ARMED;
	forget_devices(state);
	decide_armed(state, in);
}

static void decide_trial(struct boot_state *state, const struct boot_input *in)
{
	bool new = boot_is_new(state, in);

	if (new && state->verdict == BOOT_GOOD && in->arm != BOOT_ARM_EVERY_BOOT)
		return;
	if (new && same_boot(state->counted_in, in))
		return;
	if (!new || !count_attempt(state, in) || in->arm == BOOT_ARM_EVERY_BOOT)
		roll_back(state, in);
}

/* False if it is better to do nothing at all. */
static bool decide(struct boot_state *state, const struct boot_input *in)
{
	struct census c = count_logs(state, in);
	bool live = state->verdict == BOOT_TRIAL || state->verdict == BOOT_GOOD;

	if (state->verdict == BOOT_ARMED)
		decide_armed(state, in);
	/* Live logs, and none of them is what is recorded: that is stale. */
	else if (c.foreign && !c.ours)
		return true;
	else if (state->verdict == BOOT_ENTERING)
		decide_entering(state, in);
	else if (live && c.gone && (c.ours || c.unknown || c.damaged))
		return false;
	else if (live && c.gone)
		decide_ended(state, in);
	else if (live)
		decide_trial(state, in);
	/* All of them or none. */
	return state->verdict != BOOT_ROLLBACK || !c.damaged;
}

/* ---- activate: what is done about the logs ------------------------------------------ */

static enum boot_ending ending_of(const struct boot_state *state,
				  const struct boot_input *in, unsigned int i)
{
	const struct boot_device *dev = &in->dev[i];

	if (dev->log == BOOT_LOG_COMMITTING || dev->log == BOOT_LOG_RESTORING)
		return BOOT_END_FINISH;
	if (!boot_is_ours(state, in, i))
		return BOOT_END_NOTHING;
	if (state->verdict == BOOT_COMMIT)
		return BOOT_END_COMMIT;
	if (state->verdict == BOOT_ROLLBACK && !dev->active)
		return BOOT_END_RESTORE;
	return BOOT_END_NOTHING;
}

/* Is nothing of the transaction left when the endings are done? */
static bool completes(const struct boot_plan *plan, const struct boot_input *in)
{
	const struct boot_state *state = &plan->first;
	unsigned int i;

	for (i = 0; i < in->nr; i++) {
		if (!state->dev[i].ours)
			continue;
		if (in->dev[i].log == BOOT_LOG_UNKNOWN ||
		    in->dev[i].log == BOOT_LOG_DAMAGED)
			return false;
		if (boot_is_ours(state, in, i) && !plan->dev[i].ending)
			return false;
	}
	return true;
}

static void go_on_from(struct boot_plan *plan, const struct boot_input *in)
{
	plan->then = plan->first;
	if (plan->first.verdict == BOOT_COMMIT && completes(plan, in)) {
		boot_committed(&plan->then);
	} else if (plan->first.verdict == BOOT_ROLLBACK && completes(plan, in)) {
		become_rolled_back(&plan->then);
		plan->rolled_back = true;
	}
	arm_of_itself(&plan->then, in);
	if (plan->then.verdict == BOOT_ARMED)
		decide_armed(&plan->then, in);
}

/* ---- activate: what is made of the devices -------------------------------------------- */

static bool wants_bow(const struct boot_state *state, const struct boot_input *in)
{
	if (!boot_is_new(state, in))
		return false;
	return state->verdict == BOOT_ARMED || state->verdict == BOOT_ENTERING ||
	       (state->verdict == BOOT_ROLLBACK &&
		(boot_is_named(state) || !state->rejected));
}

static enum boot_make make_of(const struct boot_plan *plan, const struct boot_input *in,
			      unsigned int i)
{
	const struct boot_device *dev = &in->dev[i];
	bool ends = plan->dev[i].ending;

	if (!dev->configured || dev->active || dev->log == BOOT_LOG_UNKNOWN ||
	    dev->log == BOOT_LOG_DAMAGED)
		return BOOT_MAKE_NOTHING;
	if (dev->log == BOOT_LOG_LIVE && !ends)
		return BOOT_MAKE_RESUME;
	return wants_bow(&plan->then, in) ? BOOT_MAKE_BOW : BOOT_MAKE_LINEAR;
}

static enum boot_note note_of(const struct boot_plan *plan, const struct boot_input *in,
			      unsigned int i)
{
	const struct boot_device *dev = &in->dev[i];
	bool ours = boot_is_ours(&plan->first, in, i);

	if (dev->log == BOOT_LOG_DAMAGED)
		return BOOT_NOTE_DAMAGED;
	if (dev->log == BOOT_LOG_LIVE && !ours)
		return BOOT_NOTE_FOREIGN;
	if (plan->first.verdict == BOOT_ROLLBACK && ours && dev->active)
		return BOOT_NOTE_IN_USE;
	if (plan->then.verdict == BOOT_TRIAL && boot_is_new(&plan->then, in) &&
	    dev->configured && !plan->then.dev[i].ours)
		return BOOT_NOTE_UNPROTECTED;
	return BOOT_NOTE_NOTHING;
}

/* What was begun on a device is finished even then. */
static void refuse(struct boot_plan *plan, const struct boot_state *state,
		   const struct boot_input *in)
{
	unsigned int i;

	plan->refused = true;
	plan->first = *state;
	plan->then = *state;
	for (i = 0; i < in->nr; i++) {
		if (!in->dev[i].active && ending_of(state, in, i) == BOOT_END_FINISH)
			plan->dev[i].ending = BOOT_END_FINISH;
		if (in->dev[i].log == BOOT_LOG_DAMAGED)
			plan->dev[i].note = BOOT_NOTE_DAMAGED;
		else if (state->dev[i].ours && in->dev[i].log != BOOT_LOG_UNKNOWN &&
			 !boot_is_ours(state, in, i))
			plan->dev[i].note = BOOT_NOTE_PARTIAL;
	}
}

/* A first look ever: what is here is what everything later is compared with. */
static void begin_history(struct boot_state *state, const struct boot_input *in)
{
	if (in->no_state && in->arm == BOOT_ARM_NEW_SYSTEM && !boot_has_foreign(state, in))
		set_text(state->good_system, in->system, BOOT_SYSTEM);
}

void boot_plan(const struct boot_state *state, const struct boot_input *in,
	       struct boot_plan *plan)
{
	unsigned int i;

	memset(plan, 0, sizeof(*plan));
	plan->first = *state;
	begin_history(&plan->first, in);
	arm_of_itself(&plan->first, in);
	if (!decide(&plan->first, in)) {
		refuse(plan, state, in);
		return;
	}
	for (i = 0; i < in->nr; i++)
		plan->dev[i].ending = ending_of(&plan->first, in, i);
	go_on_from(plan, in);
	for (i = 0; i < in->nr; i++) {
		plan->dev[i].make = make_of(plan, in, i);
		plan->dev[i].note = note_of(plan, in, i);
	}
	plan->rejected = boot_is_rejected(&plan->then, in);
}

/* ---- the other verbs --------------------------------------------------------------------- */

enum boot_answer boot_arm(const struct boot_state *state, const struct boot_input *in,
			  const char *system, u64 attempts, struct boot_state *next)
{
	unsigned int i;

	if (in->bad_state)
		return BOOT_NO_STATE;
	for (i = 0; i < in->nr; i++)
		if (in->dev[i].log == BOOT_LOG_UNKNOWN)
			return BOOT_NO_DEVICE;
		else if (in->dev[i].log != BOOT_LOG_NONE)
			return BOOT_NO_LOG;
	*next = *state;
	if (state->verdict == BOOT_COMMIT)	/* all but the last word of it */
		boot_committed(next);
	become_armed(next, system ? system : "", in->system, attempts);
	next->any = !system;
	set_text(next->armed_in, in->boot, BOOT_ID);
	return BOOT_DO;
}

/* Everything that is to be protected can be. */
static enum boot_answer can_enter(const struct boot_state *state,
				  const struct boot_input *in)
{
	unsigned int i;

	if (boot_has_foreign(state, in))
		return BOOT_NO_FOREIGN;
	for (i = 0; i < in->nr; i++) {
		if (!in->dev[i].configured)
			continue;
		if (in->dev[i].log == BOOT_LOG_UNKNOWN)
			return BOOT_NO_DEVICE;
		if (!in->dev[i].collecting && !boot_is_ours(state, in, i))
			return BOOT_NO_PROTECTION;
	}
	return BOOT_DO;
}

/* Announced before the first message goes out. */
static void announce(struct boot_state *next, const struct boot_input *in)
{
	unsigned int i;

	next->verdict = BOOT_ENTERING;
	for (i = 0; i < in->nr; i++) {
		if (!in->dev[i].configured || boot_is_ours(next, in, i))
			continue;
		memset(&next->dev[i], 0, sizeof(next->dev[i]));
		next->dev[i].ours = true;
		next->dev[i].since = in->now;
	}
}

static enum boot_answer is_protected(const struct boot_state *state,
				     const struct boot_input *in)
{
	struct census c = count_logs(state, in);

	if (c.unknown)
		return BOOT_NO_DEVICE;
	return c.gone || c.damaged ? BOOT_NO_PROTECTION : BOOT_NOTHING;
}

enum boot_answer boot_enter(const struct boot_state *state, const struct boot_input *in,
			    struct boot_state *next)
{
	enum boot_answer answer;

	if (in->bad_state)
		return BOOT_NO_STATE;
	if (!boot_is_new(state, in))
		return BOOT_NOTHING;
	if (state->verdict == BOOT_ROLLBACK)
		return BOOT_NO_ROLLBACK;
	if (state->verdict == BOOT_TRIAL || state->verdict == BOOT_GOOD)
		return is_protected(state, in);
	if (state->verdict == BOOT_COMMIT)
		return BOOT_NOTHING;
	/* Only activate may say that this is a boot of the new system. */
	if (!same_boot(state->counted_in, in))
		return BOOT_NO_PROTECTION;
	answer = can_enter(state, in);
	if (answer == BOOT_DO) {
		*next = *state;
		announce(next, in);
	}
	return answer;
}

enum boot_answer boot_entered(const struct boot_state *state, const struct boot_input *in,
			      struct boot_state *next)
{
	unsigned int i;

	*next = *state;
	for (i = 0; i < in->nr; i++) {
		if (!state->dev[i].ours)
			continue;
		if (!boot_is_ours(state, in, i))
			return BOOT_NO_PROTECTION;
		memcpy(next->dev[i].uuid, in->dev[i].uuid, sizeof(next->dev[i].uuid));
		next->dev[i].has_uuid = true;
	}
	next->verdict = BOOT_TRIAL;
	return BOOT_DO;
}

/* Nothing may be given up that is not known for certain. */
static enum boot_answer can_give_up(const struct boot_state *state,
				    const struct boot_input *in)
{
	struct census c = count_logs(state, in);

	if (c.unknown)
		return BOOT_NO_DEVICE;
	/* Somebody has begun that by hand: there is no way but back. */
	if (c.restoring)
		return BOOT_NO_ROLLBACK;
	return c.foreign || c.damaged ? BOOT_NO_FOREIGN : BOOT_DO;
}

enum boot_answer boot_good(const struct boot_state *state, const struct boot_input *in,
			   struct boot_state *next)
{
	bool new = boot_is_new(state, in);

	if (in->bad_state)
		return BOOT_NO_STATE;
	*next = *state;
	switch (state->verdict) {
	case BOOT_COMMIT:
		return BOOT_DO;
	case BOOT_ROLLBACK:
		return BOOT_NO_ROLLBACK;
	case BOOT_ARMED:
	case BOOT_ENTERING:
		return new ? BOOT_NO_PROTECTION : BOOT_NOTHING;
	case BOOT_TRIAL:
	case BOOT_GOOD:
		break;
	default:
		return BOOT_NOTHING;
	}
	if (!new)
		return BOOT_NO_SYSTEM;
	if (state->rejected)
		return BOOT_NO_REJECTED;
	next->verdict = BOOT_GOOD;
	return can_give_up(state, in);
}

enum boot_answer boot_abort(const struct boot_state *state, const struct boot_input *in,
			    struct boot_state *next)
{
	if (in->bad_state)
		return BOOT_NO_STATE;
	*next = *state;
	switch (state->verdict) {
	case BOOT_IDLE:
		return BOOT_NOTHING;
	case BOOT_COMMIT:
		return BOOT_NO_COMMIT;
	case BOOT_ARMED:
		become_idle(next);
		return BOOT_DO;
	case BOOT_GOOD:
		/* The boot loader may know already, and would stay with it. */
		if (boot_is_named(state))
			return BOOT_NO_GOOD;
		fallthrough;
	default:
		next->verdict = BOOT_ROLLBACK;
		next->rejected = true;
		return BOOT_DO;
	}
}
