/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of the checkpoint of an update, at a boot and after it. Nothing here
 * reads or writes anything: what is known goes in, what is to be recorded and done
 * comes out. The argument behind the rules is in bow-boot(8), and a search through
 * everything that can happen is in tests/boot-explore.c.
 */
#ifndef BOW_BOOT_RULES_H
#define BOW_BOOT_RULES_H

#include "dm-cow-env.h"

#ifndef BOOT_DEVICES	/* tests make it less */
#define BOOT_DEVICES 16
#define BOOT_SYSTEM 256
#endif
#define BOOT_ID 40

/* A checkpoint that is older or younger than its announcement by more is another. */
#define BOOT_ENTER_SECONDS 900

/*
 * idle -> armed -> entering -> trial -> good -> commit -> idle
 *                     \___________\_______\__ rollback -> armed or idle
 */
enum boot_verdict {
	BOOT_IDLE,
	BOOT_ARMED,	/* a checkpoint begins when the new system boots */
	BOOT_ENTERING,	/* it may have begun on some devices */
	BOOT_TRIAL,	/* on all of them; the new system is to prove itself */
	BOOT_GOOD,	/* it has; the boot loader is to be told */
	BOOT_COMMIT,	/* only forward, whatever boots */
	BOOT_ROLLBACK,	/* only back, whatever boots */
	BOOT_VERDICTS
};

/* What is recorded of a device. */
struct boot_record {
	bool ours;	/* part of the transaction */
	bool has_uuid;	/* of its log; not known yet while entering */
	u8 uuid[16];
	u64 since;	/* entering: when that was recorded, seconds since 1970 */
};

struct boot_state {
	enum boot_verdict verdict;
	bool any;	/* armed: for whatever system boots next */
	bool rejected;	/* its attempts are used up, or it was given up */
	char new_system[BOOT_SYSTEM];
	char old_system[BOOT_SYSTEM];	/* that which armed */
	char good_system[BOOT_SYSTEM];	/* committed last, "" if that is not known */
	u64 attempts;		/* in a row */
	u64 attempts_left;
	char armed_in[BOOT_ID];		/* the boot in which this was done... */
	char counted_in[BOOT_ID];	/* ...and the last that counted as an attempt */
	struct boot_record dev[BOOT_DEVICES];
};

/* When is a checkpoint armed without anybody asking? */
enum boot_arm {
	BOOT_ARM_MANUAL,
	BOOT_ARM_NEW_SYSTEM,	/* the system is not the one committed last */
	BOOT_ARM_EVERY_BOOT,
};

enum boot_log {
	BOOT_LOG_NONE,
	BOOT_LOG_LIVE,
	BOOT_LOG_COMMITTING,	/* what was begun there counts, whatever is recorded */
	BOOT_LOG_RESTORING,
	BOOT_LOG_DAMAGED,
	BOOT_LOG_UNKNOWN,	/* the device is not there, or not to be looked at */
};

struct boot_device {
	enum boot_log log;
	u8 uuid[16];		/* of a live log */
	u64 time;		/* of its checkpoint */
	bool configured;	/* else it is there only because it is recorded */
	bool active;		/* the dm device is there already */
	bool collecting;	/* and is bow, without a checkpoint */
};

struct boot_input {
	const char *system;	/* booted; "" if systems are not told apart */
	const char *boot;	/* an id of this boot */
	u64 now;		/* seconds since 1970 */
	enum boot_arm arm;
	u64 attempts;		/* for what is armed of itself */
	bool no_state;		/* there is no file */
	bool bad_state;		/* there is one that cannot be read */
	unsigned int nr;
	struct boot_device dev[BOOT_DEVICES];
};

/* ---- activate --------------------------------------------------------------- */

enum boot_ending {
	BOOT_END_NOTHING,
	BOOT_END_RESTORE,
	BOOT_END_COMMIT,
	BOOT_END_FINISH,	/* what was begun, the one or the other */
};

enum boot_make {
	BOOT_MAKE_NOTHING,
	BOOT_MAKE_LINEAR,
	BOOT_MAKE_BOW,
	BOOT_MAKE_RESUME,
};

/* What the administrator has to know. */
enum boot_note {
	BOOT_NOTE_NOTHING,
	BOOT_NOTE_FOREIGN,	/* a live log that is not recorded; resumed */
	BOOT_NOTE_DAMAGED,	/* refused */
	BOOT_NOTE_IN_USE,	/* it cannot be rolled back now */
	BOOT_NOTE_PARTIAL,	/* one of the logs was ended by somebody: refused */
	BOOT_NOTE_UNPROTECTED,	/* it is not part of the trial that goes on */
};

struct boot_plan {
	struct boot_state first;	/* to be recorded before any log is ended */
	struct boot_state then;		/* after that, before any device is made */
	struct {
		enum boot_ending ending;
		enum boot_make make;
		enum boot_note note;
	} dev[BOOT_DEVICES];
	bool refused;		/* nothing is done at all */
	bool rejected;		/* the system that runs is: the boot loader is told... */
	bool rolled_back;	/* ...and a transaction went back */
};

void boot_plan(const struct boot_state *state, const struct boot_input *in,
	       struct boot_plan *plan);

/* ---- the other verbs: what they make of the state ----------------------------- */

enum boot_answer {
	BOOT_DO,		/* @next is to be recorded */
	BOOT_NOTHING,		/* to do */
	BOOT_NO_STATE,		/* refused from here on: the file cannot be read */
	BOOT_NO_LOG,		/* arm: there is a log */
	BOOT_NO_DEVICE,		/* one is missing */
	BOOT_NO_FOREIGN,	/* a live log that is not recorded */
	BOOT_NO_PROTECTION,	/* there is no checkpoint, and should be */
	BOOT_NO_ROLLBACK,	/* a rollback is due */
	BOOT_NO_COMMIT,		/* a commit was begun */
	BOOT_NO_GOOD,		/* abort: the boot loader may have been told */
	BOOT_NO_SYSTEM,		/* another system is on trial */
	BOOT_NO_REJECTED,
	BOOT_ANSWERS
};

/* @system: NULL for whatever boots next. */
enum boot_answer boot_arm(const struct boot_state *state, const struct boot_input *in,
			  const char *system, u64 attempts, struct boot_state *next);

/* Before the checkpoints; and when they are there, @in then being how it is now. */
enum boot_answer boot_enter(const struct boot_state *state, const struct boot_input *in,
			    struct boot_state *next);
enum boot_answer boot_entered(const struct boot_state *state, const struct boot_input *in,
			      struct boot_state *next);

/* The new system is good: @next has that verdict, or that of a commit begun. */
enum boot_answer boot_good(const struct boot_state *state, const struct boot_input *in,
			   struct boot_state *next);

enum boot_answer boot_abort(const struct boot_state *state, const struct boot_input *in,
			    struct boot_state *next);

/* The transaction is over and the new system is the one to be kept. */
void boot_committed(struct boot_state *state);

/* ---- what is behind them -------------------------------------------------------- */

/* Is what is booted the system whose transaction this is? */
bool boot_is_new(const struct boot_state *state, const struct boot_input *in);

/* Can the new system and the old one be told apart? */
bool boot_is_named(const struct boot_state *state);

/* Is what is booted a system that is not to be kept? A reboot is wanted then. */
bool boot_is_rejected(const struct boot_state *state, const struct boot_input *in);

/* Is the live log of device @i that of this transaction? */
bool boot_is_ours(const struct boot_state *state, const struct boot_input *in,
		  unsigned int i);

/* Is there a live log that is not? */
bool boot_has_foreign(const struct boot_state *state, const struct boot_input *in);

#endif
