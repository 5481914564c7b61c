/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In which order things are done, so that power may go between any two of them. What
 * is done is up to whoever calls: the tool, or the search in tests/boot-explore.c.
 */
#ifndef BOW_BOOT_ORDER_H
#define BOW_BOOT_ORDER_H

#include "rules.h"

struct boot_run;

/* Each returns 0 or an exit status, with the reason told; durable when it returns. */
struct boot_ops {
	int (*save)(struct boot_run *run, const struct boot_state *state);
	int (*end)(struct boot_run *run, unsigned int i, enum boot_ending ending);
	int (*make)(struct boot_run *run, unsigned int i, enum boot_make make);
	int (*mark)(struct boot_run *run, bool good);	/* tell the boot loader */
	int (*trim)(struct boot_run *run, unsigned int i);
	/* On all devices that collect, at one instant. */
	int (*checkpoint)(struct boot_run *run);
	int (*look)(struct boot_run *run);	/* once more, into run->in */
};

struct boot_run {
	const struct boot_ops *ops;
	struct boot_state state;	/* as it is recorded */
	struct boot_input in;
	bool saved;			/* recorded at least once */
};

/* 0 or an exit status. Devices that the plan leaves out are left out. */
int boot_do_plan(struct boot_run *run, const struct boot_plan *plan);

/* The answer of the rule in @answer; nothing is done unless that is BOOT_DO. */
int boot_do_protect(struct boot_run *run, enum boot_answer *answer);
int boot_do_commit(struct boot_run *run, enum boot_answer *answer);
/* Only the first step of a commit. */
int boot_do_good(struct boot_run *run, enum boot_answer *answer);
int boot_do_abort(struct boot_run *run, enum boot_answer *answer);

#endif
