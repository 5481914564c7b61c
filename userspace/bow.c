// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow: checkpoint, commit and roll back devices under a dm-bow target.
 */
#include "bow.h"

static const struct command * const commands[] = {
	&cmd_create, &cmd_trim, &cmd_checkpoint, &cmd_commit, &cmd_remove,
	&cmd_status, &cmd_restore, &cmd_check, &cmd_dump, &cmd_boot,
};

static const struct program bow = {
	.name = "bow",
	.summary = "Checkpoint a mounted filesystem's device without spare space; roll back offline.",
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
};

int main(int argc, char **argv)
{
	return program_main(&bow, argc, argv);
}
