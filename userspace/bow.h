/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bow: its commands.
 */
#ifndef BOW_H
#define BOW_H

#include "command.h"

extern const struct command cmd_boot, cmd_check, cmd_checkpoint, cmd_commit, cmd_create,
	cmd_dump, cmd_remove, cmd_restore, cmd_status, cmd_trim;

#endif
