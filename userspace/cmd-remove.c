// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow remove: take a bow device away; its log, if live, stays.
 */
#include "bow.h"
#include "dm.h"
#include "mnt.h"

static int check_unused(const struct bow_status *st)
{
	char user[USER_TEXT];

	if (device_user(st->number, user))
		return fail(BOW_REFUSED, "%s is %s; %s first", st->name, user,
			    strncmp(user, "mounted", 7) ? "remove that" : "unmount it");
	if (st->open_count)
		return fail(BOW_REFUSED, "%s is open in %d place(s); 'fuser -v /dev/mapper/%s' shows who has it",
			    st->name, st->open_count, st->name);
	return BOW_OK;
}

static int remove_device(const char *name, bool dry_run)
{
	struct bow_status st;
	int status = bow_dm_open();

	if (!status)
		status = bow_dm_status(name, &st);
	if (!status)
		status = check_unused(&st);
	if (status)
		return status;
	if (dry_run) {
		printf("would remove %s\n", st.name);
		return BOW_OK;
	}
	status = bow_dm_remove(st.name);
	if (!status && !strcmp(st.state, "checkpoint"))
		error_msg("the checkpoint stays on the device: 'bow restore', 'bow commit' or 'bow create --resume' goes on from there");
	return status;
}

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	BOW_COMMON_OPTIONS
};

static int run(int argc, char **argv)
{
	struct bow_flags flags = { 0 };
	const char *name;
	int status = bow_parse(&cmd_remove, argc, argv, options, &flags, NULL,
			       NULL, "one name, please", &name);

	return status >= 0 ? status : remove_device(name, flags.dry_run);
}

const struct command cmd_remove = {
	.name = "remove",
	.summary = "remove a bow device; a checkpoint stays on the device below",
	.usage =
	"[options] <name>\n\n"
	"Remove an unmounted bow device.\n\n"
	"Options:\n"
	"  -n, --dry-run   check only\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 in use or not a bow device.\n",
	.run = run,
};
