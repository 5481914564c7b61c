/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log whose header in block 0 is lost: found, judged, and given its header
 * back, after which it is a log like any other.
 */
#ifndef BOW_RESCUE_H
#define BOW_RESCUE_H

#include "command.h"
#include "offline.h"

/* What the user has said. */
struct rescue {
	bool scan;
	bool incomplete;	/* one that may lack something will do */
	bool has_uuid;
	u8 uuid[16];
};

#define RESCUE_OPTIONS \
	{ "scan", no_argument, NULL, OPT_SCAN }, \
	{ "uuid", required_argument, NULL, OPT_UUID }

/* Is there no header in block 0 that could be gone by? */
bool rescue_needed(const struct offline *off);

/* One of the options above, or a common one: as bow_parse() wants it. */
int rescue_option(const struct command *cmd, struct rescue *rescue, int option);

/* Read the whole device, find logs and judge them. 0 or BOW_SYSTEM. */
int rescue_find(struct offline *off, bool quiet);

/*
 * Where block 0 does not say what log there is: with --scan find all there are
 * and read the one that is meant, @off->found; without, have a look at the end
 * of the device, where slot 1 mostly is. 0 or an exit status, with the reason
 * told.
 */
int rescue_look(struct offline *off, const struct rescue *rescue, bool quiet);

/* The one with that uuid, or the only one; may be in any condition. */
struct scan_log *rescue_pick(struct offline *off, const struct rescue *rescue);

/* Read the log with what slot 1 holds in place of block 0. 0 or BOW_SYSTEM. */
int rescue_read(struct offline *off, struct scan_log *log, bool quiet);

/*
 * Write the header of the log that was found back to block 0, in @state. From
 * here on nothing is lost any more. 0 or an exit status.
 */
int rescue_adopt(struct offline *off, u32 state);

/*
 * Erase the header in block 0, if there is one, and what else would be found.
 * 0 or an exit status. @erased gets the number of places.
 */
int rescue_discard(struct offline *off, bool dry_run, u64 *erased);

void rescue_print(const struct offline *off);
struct json_object *rescue_json(const struct offline *off);

#endif
