// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap: snapshots of many devices at one instant.
 */
#include "snap.h"

static const struct command * const commands[] = {
	&cmd_attach, &cmd_detach, &cmd_take, &cmd_resume, &cmd_list, &cmd_remove, &cmd_grow,
	&cmd_monitor, &cmd_changed, &cmd_mark, &cmd_export, &cmd_apply, &cmd_check,
	&cmd_dump, &cmd_restore,
};

static const struct program blksnap = {
	.name = "blksnap",
	.summary = "Snapshots of many block devices at one instant, mounted and busy.",
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
};

int main(int argc, char **argv)
{
	return program_main(&blksnap, argc, argv);
}
