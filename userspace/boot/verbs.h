/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bow boot: its verbs, and what they begin and end with.
 */
#ifndef BOW_BOOT_VERBS_H
#define BOW_BOOT_VERBS_H

#include "boot.h"

/* Beside those of enum bow_exit. */
#define BOOT_EXIT_REBOOT 32	/* done; the system that runs is not to be kept */

struct boot_request {
	struct bow_flags flags;
	const char *config;
	const char *system;	/* arm */
	u64 attempts;		/* arm; 0: as configured */
	char **names;		/* activate: NULL-terminated, none for all */
};

/* What a verb wants to know of the devices. */
enum boot_access {
	BOOT_READ,		/* as it is, in use or not */
	BOOT_CHANGE,		/* the same; the state may change */
	BOOT_OPEN,		/* and the devices are not in use */
};

/* Read all there is to know. Call boot_end() in either case. */
int boot_begin(struct boot *boot, const struct boot_request *req, enum boot_access access);
void boot_end(struct boot *boot);

/* An exit status for it, with the reason told, unless that is BOOT_DO or _NOTHING. */
int boot_explain(const struct boot *boot, enum boot_answer answer);

/* The live logs that are not recorded, and what can be done about them. */
void boot_tell_foreign(const struct boot *boot);

/* What has become of it, as text or JSON; @what: one word. */
void boot_report(const struct boot *boot, const struct boot_request *req, const char *what);

/* All devices of a state, for programs. */
struct json_object *boot_devices_json(const struct boot *boot);
void boot_state_json(struct json_object *obj, const struct boot *boot);

int verb_activate(struct boot *boot, const struct boot_request *req);
int verb_status(struct boot *boot, const struct boot_request *req);

#endif
