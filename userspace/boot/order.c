// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is recorded comes before what is done because of it, always.
 */
#include "order.h"

static int save(struct boot_run *run, const struct boot_state *state)
{
	int status;

	if (!memcmp(&run->state, state, sizeof(*state)))
		return 0;
	status = run->ops->save(run, state);
	if (status)
		return status;
	run->state = *state;
	run->saved = true;
	return 0;
}

/* ---- activate --------------------------------------------------------------- */

static int end_logs(struct boot_run *run, const struct boot_plan *plan)
{
	int status = 0;
	unsigned int i;

	for (i = 0; i < run->in.nr && !status; i++)
		if (plan->dev[i].ending)
			status = run->ops->end(run, i, plan->dev[i].ending);
	return status;
}

static bool has_endings(const struct boot_plan *plan, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (plan->dev[i].ending)
			return true;
	return false;
}

/* All that can be made is made, whatever becomes of one of them. */
static int make_devices(struct boot_run *run, const struct boot_plan *plan)
{
	int status = 0, r;
	unsigned int i;

	for (i = 0; i < run->in.nr; i++) {
		if (!plan->dev[i].make)
			continue;
		r = run->ops->make(run, i, plan->dev[i].make);
		if (!status)
			status = r;
	}
	return status;
}

int boot_do_plan(struct boot_run *run, const struct boot_plan *plan)
{
	int status = 0;

	if (has_endings(plan, run->in.nr))
		status = save(run, &plan->first);
	if (!status)
		status = end_logs(run, plan);
	/* A hook may be missing in an initramfs: protect tries again. */
	if (!status && plan->rejected)
		run->ops->mark(run, false);
	if (!status)
		status = save(run, &plan->then);
	return status ? status : make_devices(run, plan);
}

/* ---- protect ------------------------------------------------------------------- */

static int trim_devices(struct boot_run *run)
{
	int status = 0;
	unsigned int i;

	for (i = 0; i < run->in.nr && !status; i++)
		if (run->in.dev[i].configured && run->in.dev[i].collecting)
			status = run->ops->trim(run, i);
	return status;
}

/* Nothing has run on them yet: what was begun is given up, and may begin again. */
static void leave(struct boot_run *run, const struct boot_state *before)
{
	unsigned int i;

	if (run->ops->look(run))
		return;
	for (i = 0; i < run->in.nr; i++)
		if (boot_is_ours(&run->state, &run->in, i) && run->in.dev[i].active &&
		    run->ops->end(run, i, BOOT_END_COMMIT))
			return;
	save(run, before);
}

int boot_do_protect(struct boot_run *run, enum boot_answer *answer)
{
	struct boot_state before = run->state, next;
	int status;

	if (boot_is_rejected(&run->state, &run->in))
		run->ops->mark(run, false);
	*answer = boot_enter(&run->state, &run->in, &next);
	if (*answer != BOOT_DO)
		return 0;
	status = trim_devices(run);
	/* That takes its time, and what is announced is to be about now. */
	if (!status)
		status = run->ops->look(run);
	if (status)
		return status;
	*answer = boot_enter(&run->state, &run->in, &next);
	if (*answer != BOOT_DO)
		return 0;
	status = save(run, &next);
	if (status)
		return status;
	status = run->ops->checkpoint(run);
	if (!status)
		status = run->ops->look(run);
	if (!status) {
		*answer = boot_entered(&run->state, &run->in, &next);
		if (*answer == BOOT_DO)
			return save(run, &next);
	}
	if (before.verdict == BOOT_ARMED)
		leave(run, &before);
	return status;
}

/* ---- commit, abort ---------------------------------------------------------------- */

static int give_up_logs(struct boot_run *run)
{
	int status = 0;
	unsigned int i;

	for (i = 0; i < run->in.nr && !status; i++)
		if (boot_is_ours(&run->state, &run->in, i))
			status = run->ops->end(run, i, BOOT_END_COMMIT);
	return status;
}

/* The boot loader does not go back by itself any more; now, only forward. */
static int pass_no_return(struct boot_run *run)
{
	struct boot_state next = run->state;
	int status = run->ops->mark(run, true);

	if (status)
		return status;
	next.verdict = BOOT_COMMIT;
	return save(run, &next);
}

int boot_do_commit(struct boot_run *run, enum boot_answer *answer)
{
	struct boot_state next;
	int status = boot_do_good(run, answer);

	if (*answer != BOOT_DO || status)
		return status;
	if (run->state.verdict == BOOT_GOOD)
		status = pass_no_return(run);
	if (!status)
		status = give_up_logs(run);
	if (status)
		return status;
	next = run->state;
	boot_committed(&next);
	return save(run, &next);
}

int boot_do_good(struct boot_run *run, enum boot_answer *answer)
{
	struct boot_state next;

	*answer = boot_good(&run->state, &run->in, &next);
	return *answer == BOOT_DO ? save(run, &next) : 0;
}

int boot_do_abort(struct boot_run *run, enum boot_answer *answer)
{
	struct boot_state next;
	int status;

	*answer = boot_abort(&run->state, &run->in, &next);
	if (*answer != BOOT_DO)
		return 0;
	status = save(run, &next);
	if (!status && next.verdict == BOOT_ROLLBACK && boot_is_named(&next) &&
	    boot_is_new(&next, &run->in))
		status = run->ops->mark(run, false);
	return status;
}
