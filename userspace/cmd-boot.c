// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow boot: a checkpoint around an update of the system, from boot to boot.
 */
#include <time.h>
#include <unistd.h>

#include "boot/verbs.h"
#include "bow.h"

/* ---- what the order of things calls ---------------------------------------------------- */

static struct boot *to_boot(struct boot_run *run)
{
	return container_of(run, struct boot, run);
}

/* For tests: the power goes after that. */
static void stop_after(const char *what)
{
	const char *where = getenv("BOW_BOOT_STOP_AFTER");

	if (!where || strcmp(where, what))
		return;
	error_msg("stopped after '%s', as asked", what);
	_exit(BOW_SYSTEM);
}

static int op_save(struct boot_run *run, const struct boot_state *state)
{
	int status = state_save(&to_boot(run)->file, state);

	if (!status)
		stop_after(boot_verdict_name(state->verdict));
	return status;
}

static int op_end(struct boot_run *run, unsigned int i, enum boot_ending ending)
{
	int status = device_end(to_boot(run), i, ending);

	if (!status)
		stop_after("end");
	return status;
}

static int op_make(struct boot_run *run, unsigned int i, enum boot_make make)
{
	return device_make(to_boot(run), i, make);
}

static int op_mark(struct boot_run *run, bool good)
{
	const struct conf *conf = &to_boot(run)->conf;
	char * const *words = good ? conf->mark_good : conf->mark_bad;
	int status = words[0] ? system_run(words) : 0;

	if (!status)
		stop_after(good ? "mark-good" : "mark-bad");
	return status;
}

static int op_trim(struct boot_run *run, unsigned int i)
{
	return device_trim(to_boot(run), i);
}

static int op_checkpoint(struct boot_run *run)
{
	int status = device_checkpoint(to_boot(run));

	if (!status)
		stop_after("checkpoint");
	return status;
}

static int op_look(struct boot_run *run)
{
	struct boot *boot = to_boot(run);
	struct boot_input *in = &run->in;
	int status = 0;
	unsigned int i;

	memset(in, 0, sizeof(*in));
	in->system = boot->system;
	in->boot = boot->id;
	in->now = (u64)time(NULL);
	in->arm = boot->conf.arm;
	in->attempts = boot->conf.attempts;
	in->no_state = boot->file.missing;
	in->bad_state = boot->file.bad;
	in->nr = boot->file.nr;
	for (i = 0; i < in->nr && !status; i++)
		status = device_look(boot, i, &in->dev[i]);
	return status;
}

static const struct boot_ops ops = {
	.save = op_save, .end = op_end, .make = op_make, .mark = op_mark,
	.trim = op_trim, .checkpoint = op_checkpoint, .look = op_look,
};

/* ---- beginning and end -------------------------------------------------------------------- */

static int choose(struct boot *boot, const struct boot_request *req)
{
	unsigned int i;
	char **name;
	int n;

	for (i = 0; i < boot->file.nr; i++)
		boot->chosen[i] = !req->names || !req->names[0];
	for (name = req->names; name && *name; name++) {
		n = conf_find(&boot->conf, *name);
		if (n < 0)
			return fail(BOW_USAGE, "%s has no device '%s'", boot->conf.path, *name);
		boot->chosen[n] = true;
	}
	return 0;
}

int boot_begin(struct boot *boot, const struct boot_request *req, enum boot_access access)
{
	int status;

	boot->run.ops = &ops;
	boot->file.lock = -1;
	boot->file.root = -1;
	boot->exclusive = access == BOOT_OPEN;
	boot->change = access == BOOT_CHANGE;
	boot->dry_run = req->flags.dry_run;
	boot->quiet = req->flags.json;
	status = conf_read(&boot->conf, req->config ? req->config : CONF_PATH);
	if (!status)
		status = system_booted(&boot->conf, boot->system);
	if (status)
		return status;
	system_boot_id(boot->id);
	/* What the library says is told where it matters. */
	bow_dm_keep_log();
	status = state_open(&boot->file, &boot->conf,
			    access != BOOT_READ && !req->flags.dry_run, &boot->run.state);
	if (!status)
		status = choose(boot, req);
	return status ? status : op_look(&boot->run);
}

void boot_end(struct boot *boot)
{
	state_close(&boot->file);
	conf_free(&boot->conf);
}

/* ---- what is said ------------------------------------------------------------------------- */

void boot_tell_foreign(const struct boot *boot)
{
	unsigned int i;

	for (i = 0; i < boot->run.in.nr; i++) {
		const struct boot_device *dev = &boot->run.in.dev[i];
		const char *name = boot->file.place[i].name;
		char uuid[UUID_TEXT], time[TIME_TEXT];

		if (dev->log != BOOT_LOG_LIVE ||
		    boot_is_ours(&boot->run.state, &boot->run.in, i))
			continue;
		error_msg("%s: carries a checkpoint of %s (%s) that %s does not know, so it is neither rolled back nor given up; to keep what is there: 'bow commit %s'; to go back: unmount it, 'bow remove %s', 'bow restore %s'",
			  name, format_time(time, dev->time), format_uuid(uuid, dev->uuid),
			  boot->file.path, name, name, boot->file.place[i].device);
	}
}

int boot_explain(const struct boot *boot, enum boot_answer answer)
{
	const struct boot_state *state = &boot->run.state;

	switch (answer) {
	case BOOT_DO:
	case BOOT_NOTHING:
		return 0;
	case BOOT_NO_STATE:
		return fail(BOW_REFUSED, "%s: cannot be read, and is not written over; see what the devices carry ('bow boot status'), then remove it",
			    boot->file.path);
	case BOOT_NO_LOG:
		return fail(BOW_REFUSED, "a device carries a checkpoint ('bow boot status' says which); end that first: 'bow boot commit', or 'bow boot abort' and reboot");
	case BOOT_NO_DEVICE:
		return fail(BOW_REFUSED, "a device of the transaction is missing; 'bow boot status' says which");
	case BOOT_NO_FOREIGN:
		boot_tell_foreign(boot);
		return fail(BOW_REFUSED, "a log is damaged or not known ('bow boot status' says which); end it first");
	case BOOT_NO_PROTECTION:
		return fail(BOW_REFUSED, "not everything is under a checkpoint: run 'bow boot activate' before the mount and 'bow boot protect' after it");
	case BOOT_NO_ROLLBACK:
		return fail(BOW_REFUSED, "a rollback is due: reboot, and 'bow boot activate' does it");
	case BOOT_NO_COMMIT:
		return fail(BOW_REFUSED, "a commit was begun, there is no way back: 'bow boot commit' finishes it");
	case BOOT_NO_GOOD:
		return fail(BOW_REFUSED, "%s is recorded as good, and the boot loader may know: boot %s, the data go back then; or 'bow boot commit'",
			    state->new_system, state->old_system);
	case BOOT_NO_SYSTEM:
		return fail(BOW_REFUSED, "%s is on trial, and this is %s", state->new_system,
			    boot->system);
	case BOOT_NO_REJECTED:
		return fail(BOW_REFUSED, "%s is rejected: its attempts are used up or it was aborted; reboot into %s, or arm it again",
			    state->new_system, state->old_system);
	default:
		return BOW_SYSTEM;
	}
}

void boot_state_json(struct json_object *obj, const struct boot *boot)
{
	const struct boot_state *state = &boot->run.state;

	json_add_string(obj, "state_file", boot->file.path);
	json_add_bool(obj, "state_known", !boot->file.bad && !boot->file.missing);
	json_add_string(obj, "verdict", boot_verdict_name(state->verdict));
	json_add_bool(obj, "rejected", state->rejected);
	json_add_string(obj, "system", boot->system);
	json_add_bool(obj, "any_system", state->any);
	json_add_string(obj, "new_system", state->new_system);
	json_add_string(obj, "old_system", state->old_system);
	json_add_string(obj, "good_system", state->good_system);
	json_add_number(obj, "attempts", state->attempts);
	json_add_number(obj, "attempts_left", state->attempts_left);
}

void boot_report(const struct boot *boot, const struct boot_request *req, const char *what)
{
	struct json_object *obj;

	if (!req->flags.json) {
		printf("%s%s: %s\n", req->flags.dry_run ? "would " : "", what,
		       boot_verdict_name(boot->run.state.verdict));
		return;
	}
	obj = json_report();
	json_add_string(obj, "action", what);
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	boot_state_json(obj, boot);
	json_print(obj);
}

/* ---- the verbs but activate and status ------------------------------------------------------ */

static int do_arm(struct boot *boot, const struct boot_request *req,
		  enum boot_answer *answer)
{
	u64 attempts = req->attempts ? req->attempts : boot->conf.attempts;
	struct boot_state next;

	if (req->system && boot->conf.system == CONF_SYSTEM_NONE)
		return fail(BOW_USAGE, "--system means nothing where systems are not told apart; see 'set system' in %s",
			    boot->conf.path);
	*answer = boot_arm(&boot->run.state, &boot->run.in, req->system, attempts, &next);
	if (*answer != BOOT_DO)
		return 0;
	if (!req->flags.dry_run && op_save(&boot->run, &next))
		return BOW_SYSTEM;
	boot->run.state = next;
	return 0;
}

static int verb_arm(struct boot *boot, const struct boot_request *req)
{
	enum boot_answer answer = BOOT_NOTHING;
	int status = do_arm(boot, req, &answer);

	if (!status)
		status = boot_explain(boot, answer);
	if (!status)
		boot_report(boot, req, "arm");
	return status;
}

struct change {
	const char *name;
	int (*run)(struct boot_run *run, enum boot_answer *answer);
	enum boot_answer (*ask)(const struct boot_state *state, const struct boot_input *in,
				struct boot_state *next);
};

static const struct change
	protect = { "protect", boot_do_protect, boot_enter },
	good = { "good", boot_do_good, boot_good },
	commit = { "commit", boot_do_commit, boot_good },
	abort_it = { "abort", boot_do_abort, boot_abort };

static int make_change(struct boot *boot, const struct boot_request *req,
		       const struct change *change)
{
	enum boot_answer answer = BOOT_NOTHING;
	struct boot_state next;
	int status = 0;

	if (req->flags.dry_run)
		answer = change->ask(&boot->run.state, &boot->run.in, &next);
	else
		status = change->run(&boot->run, &answer);
	if (!status)
		status = boot_explain(boot, answer);
	if (!status)
		boot_report(boot, req, answer == BOOT_NOTHING ? "nothing to do" : change->name);
	return status;
}

static int verb_protect(struct boot *boot, const struct boot_request *req)
{
	int status = make_change(boot, req, &protect);

	return !status && boot_is_rejected(&boot->run.state, &boot->run.in) ?
		BOOT_EXIT_REBOOT : status;
}

static int verb_good(struct boot *boot, const struct boot_request *req)
{
	return make_change(boot, req, &good);
}

static int verb_commit(struct boot *boot, const struct boot_request *req)
{
	return make_change(boot, req, &commit);
}

static int verb_abort(struct boot *boot, const struct boot_request *req)
{
	return make_change(boot, req, &abort_it);
}

/* ---- command line --------------------------------------------------------------------------- */

struct verb {
	struct command cmd;
	enum boot_access access;
	int (*run)(struct boot *boot, const struct boot_request *req);
	bool names;		/* takes names of devices */
};

#define COMMON_TEXT \
	"      --config <file>   in place of /etc/bow.conf\n" \
	"      --kmsg            messages go to the kernel's log as well\n" \
	"  -n, --dry-run         say what would be done, do nothing\n" \
	"      --json            report as JSON\n" \
	"  -h, --help            this text\n" \
	"  -V, --version         the version\n\n"

#define EXIT_TEXT "Exit status: 0 done, or nothing to do, 2 usage or configuration, 8 system error,\n16 refused"

static const struct verb verbs[] = {
	{ { "boot arm", "a checkpoint begins at the next boot of a system",
	    "[options]\n\n"
	    "The next boot of the new system begins under a checkpoint. Do this before\n"
	    "the boot loader is told to try it.\n\n"
	    "Options:\n"
	    "      --system <id>     of the new system; without it, whatever boots next\n"
	    "      --attempts <n>    that many boots before all is rolled back\n"
	    COMMON_TEXT EXIT_TEXT ".\n", NULL }, BOOT_CHANGE, verb_arm, false },
	{ { "boot activate", "make the devices, before they are mounted",
	    "[options] [<name>...]\n\n"
	    "Finish what was interrupted, roll back if that is due, then make the dm\n"
	    "devices, all of them or those that are named.\n\n"
	    "Options:\n"
	    COMMON_TEXT EXIT_TEXT ", 4 log damaged, 32 done, but the system that runs is rejected and a\n"
	    "reboot is wanted.\n", NULL }, BOOT_OPEN, verb_activate, true },
	{ { "boot protect", "begin the checkpoint, after the mount",
	    "[options]\n\n"
	    "If a checkpoint is to begin at this boot, begin it on all devices at once.\n"
	    "Nothing of the new system is to run before.\n\n"
	    "Options:\n"
	    COMMON_TEXT EXIT_TEXT ", 32 done, but the system that runs is rejected and a reboot is wanted.\n",
	    NULL }, BOOT_CHANGE, verb_protect, false },
	{ { "boot good", "record that the new system is good",
	    "[options]\n\n"
	    "To be run before something else tells the boot loader; 'bow boot commit'\n"
	    "follows after that, and needs nothing of this if mark_good is configured.\n\n"
	    "Options:\n"
	    COMMON_TEXT EXIT_TEXT ".\n", NULL }, BOOT_CHANGE, verb_good, false },
	{ { "boot commit", "the new system is good, the checkpoint is given up",
	    "[options]\n\n"
	    "Record that, tell the boot loader (mark_good), give the checkpoint up.\n\n"
	    "Options:\n"
	    COMMON_TEXT EXIT_TEXT ".\n", NULL }, BOOT_CHANGE, verb_commit, false },
	{ { "boot abort", "roll back at the next boot",
	    "[options]\n\n"
	    "Have the next boot roll back; or, as long as no checkpoint has begun, let\n"
	    "none begin.\n\n"
	    "Options:\n"
	    COMMON_TEXT EXIT_TEXT ".\n", NULL }, BOOT_CHANGE, verb_abort, false },
	{ { "boot status", "where it stands",
	    "[options]\n\n"
	    "Options:\n"
	    COMMON_TEXT
	    "Exit status: 0 idle, 1 armed, 3 on trial, 5 good or being committed, 6 a rollback\n"
	    "is due, 7 the system that runs is rejected, 9 a log that is damaged or not known,\n"
	    "or a state file that cannot be read; 2 usage or configuration, 8 system error.\n",
	    NULL }, BOOT_READ, verb_status, false },
};

static const struct option options[] = {
	{ "attempts", required_argument, NULL, OPT_ATTEMPTS },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "kmsg", no_argument, NULL, OPT_KMSG },
	{ "system", required_argument, NULL, OPT_SYSTEM },
	BOW_COMMON_OPTIONS
};

struct parse {
	const struct verb *verb;
	struct boot_request *req;
};

static int take_option(int c, void *data)
{
	const struct parse *parse = data;
	const struct command *cmd = &parse->verb->cmd;
	struct boot_request *req = parse->req;

	switch (c) {
	case OPT_CONFIG:
		req->config = optarg;
		return -1;
	case OPT_KMSG:
		messages_to_kmsg();
		return -1;
	case OPT_SYSTEM:
		req->system = optarg;
		if (parse->verb->run == verb_arm && *optarg && strlen(optarg) < BOOT_SYSTEM)
			return -1;
		return bow_usage_error(cmd, "--system goes with arm, and wants the id of a system");
	case OPT_ATTEMPTS:
		if (parse->verb->run == verb_arm && !parse_number(optarg, &req->attempts) &&
		    req->attempts && req->attempts <= 1000)
			return -1;
		return bow_usage_error(cmd, "--attempts goes with arm, and wants a number from 1 to 1000");
	}
	return bow_common_option(cmd, c);
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
	struct boot_request req = { 0 };
	struct parse parse = { .verb = verb, .req = &req };
	struct boot *boot;
	int status = bow_parse_options(&verb->cmd, argc, argv, options, &req.flags,
				       take_option, &parse);

	if (status >= 0)
		return status;
	if (optind < argc && !verb->names)
		return bow_usage_error(&verb->cmd, "no arguments, please");
	req.names = argv + optind;
	boot = calloc(1, sizeof(*boot));
	if (!boot)
		return fail(BOW_SYSTEM, "out of memory");
	status = boot_begin(boot, &req, verb->access);
	if (!status)
		status = verb->run(boot, &req);
	boot_end(boot);
	free(boot);
	return status;
}

static int usage(int status)
{
	FILE *out = status ? stderr : stdout;
	size_t i;

	fprintf(out, "Usage: bow boot <verb> [options]\n\n"
		"A checkpoint around an update of the system, as /etc/bow.conf has it.\n\nVerbs:\n");
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-11s %s\n", verbs[i].cmd.name + strlen("boot "),
			verbs[i].cmd.summary);
	fprintf(out, "\nOptions:\n"
		"  -h, --help      this text; 'bow boot <verb> --help' for a verb\n"
		"  -V, --version   the version\n\n"
		"For more, see bow-boot(8) and bow.conf(5).\n");
	return status;
}

static int run(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		return usage(BOW_USAGE);
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
		return usage(BOW_OK);
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version"))
		return bow_common_option(&cmd_boot, 'V');
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i].cmd.name + strlen("boot "))) {
			argv[1] = argv[0];
			return run_verb(&verbs[i], argc - 1, argv + 1);
		}
	if (argv[1][0] == '-')
		error_msg("unrecognized option '%s'", argv[1]);
	else
		error_msg("boot: unknown verb '%s'", argv[1]);
	return usage(BOW_USAGE);
}

const struct command cmd_boot = {
	.name = "boot",
	.summary = "a checkpoint around an update of the system, from boot to boot",
	.usage = "<verb> [options]\n",
	.run = run,
};
