/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bow boot: what its verbs share. Whatever returns an int returns 0 or an exit status,
 * with the reason told.
 */
#ifndef BOW_BOOT_H
#define BOW_BOOT_H

#include <sys/types.h>

#include "command.h"
#include "conf.h"
#include "dm-task.h"
#include "order.h"

/* ---- the state file: state.c ----------------------------------------------------- */

/* A device of the configuration, or one that only the state file knows. */
struct boot_place {
	char name[BOW_DM_NAME];
	char device[PATH_MAX];
	const struct conf_device *conf;	/* or NULL */
};

struct state_file {
	char path[PATH_MAX];
	char mounted[PATH_MAX];	/* by us, to be unmounted; "" if not */
	int root;		/* of that filesystem: it stays mounted; or -1 */
	int lock;		/* a descriptor, or -1 */
	bool missing;
	bool bad;		/* there, and not understood */
	unsigned int nr;
	struct boot_place place[BOOT_DEVICES];
};

/*
 * Find the file, and read it into @state, whose devices are in the order of
 * @file->place. A file that cannot be read is no failure. @change: nobody else may, and
 * its directory is made.
 */
int state_open(struct state_file *file, const struct conf *conf, bool change,
	       struct boot_state *state);
int state_save(const struct state_file *file, const struct boot_state *state);
void state_close(struct state_file *file);

const char *boot_verdict_name(enum boot_verdict verdict);

/* ---- what runs here: system.c ------------------------------------------------------ */

/* "" if systems are not told apart. */
int system_booted(const struct conf *conf, char system[BOOT_SYSTEM]);
void system_boot_id(char id[BOOT_ID]);

/* A program and its arguments; its exit status must be 0. */
int system_run(char * const *words);

/* ---- devices: device.c --------------------------------------------------------------- */

struct boot {
	struct boot_run run;	/* first */
	struct conf conf;
	struct state_file file;
	char system[BOOT_SYSTEM], id[BOOT_ID];
	bool chosen[BOOT_DEVICES];	/* activate: the others are not looked at */
	bool exclusive;		/* nobody else has the devices open: logs are judged... */
	bool thorough;		/* ...with every backup */
	bool change;		/* those that nobody has open are judged, too */
	bool dry_run;
	bool quiet;		/* nothing but the report goes to the standard output */
};

/* Of a device or an image; false if it is not there, without a word. */
bool device_resolve(const char *spec, char path[PATH_MAX]);

int device_look(struct boot *boot, unsigned int i, struct boot_device *dev);
int device_end(struct boot *boot, unsigned int i, enum boot_ending ending);
int device_make(struct boot *boot, unsigned int i, enum boot_make make);
int device_trim(struct boot *boot, unsigned int i);
int device_checkpoint(struct boot *boot);

#endif
