/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Something done to dm devices while some of them are suspended, all at once.
 */
#ifndef BOW_CRITICAL_H
#define BOW_CRITICAL_H

#include <signal.h>

#include "dm-cow-env.h"

/* For tests: wait for a byte on the standard input at this point. */
enum critical_point {
	CRITICAL_NOWHERE,
	CRITICAL_START,		/* nothing done yet */
	CRITICAL_PREPARED,
	CRITICAL_SUSPENDED,
	CRITICAL_ACTED,
};

/* The word for such a point; CRITICAL_NOWHERE if it is none. */
enum critical_point critical_point(const char *word);

struct critical_action {
	const char *name;	/* of a dm device */
	const char *message;	/* to its first target; NULL: resume it... */
	unsigned int udev_flags;	/* ...with these DM_UDEV_* */
};

/* All of them; @old is for SIG_SETMASK. */
void block_signals(sigset_t *old);

enum critical_stage {
	CRITICAL_PREPARE, CRITICAL_SUSPEND, CRITICAL_ACT, CRITICAL_RESUME,
};

struct critical {
	/* Suspended in this order, resumed in reverse. */
	const char * const *names;
	unsigned int nr_names;
	bool no_lockfs;		/* drain I/O, leave filesystems alone */
	bool swap;		/* the resume is to take a loaded table into use */

	const struct critical_action *actions;
	unsigned int nr_actions;

	/*
	 * Called before the first suspend, signals blocked, and after the last
	 * resume if not all of it went well, by this process or, if that has
	 * died, by another one: must do with whatever it finds, and be silent.
	 * Either may be NULL.
	 */
	int (*prepare)(void *data);	/* 0, or -errno with the reason told */
	void (*undo)(void *data);
	void *data;

	/*
	 * How long all suspends together may take; 0: as long as they want. Who
	 * holds one of the devices up may wait for another that is suspended
	 * already: all are resumed then, and it has failed with ETIMEDOUT.
	 */
	unsigned int suspend_ms;

	unsigned int pause_ms;		/* testing: sleep after the actions */
	enum critical_point wait;	/* testing */

	/* out: where it failed first, and what; @error is 0 if nothing did */
	enum critical_stage stage;
	unsigned int index;		/* of names or actions */
	int error;			/* errno */
	bool interrupted;		/* by a signal; it has been undone */
	double ms;	/* from the first suspend to the end of the last resume */
};

/*
 * Prepare, suspend all, act, resume all. All are resumed whatever happens, this
 * process killed included. 0 if it has been done or undone, with the outcome in
 * @crit; else an exit status, with the reason told.
 */
int critical_run(struct critical *crit);

/*
 * The same for a message to one device. @crit says no more than how to pause;
 * only an error of the message itself is left in it, the others are told.
 */
int critical_message(struct critical *crit, const char *name,
		     const char *message);

#endif
