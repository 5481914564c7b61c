// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Everything that can happen to a machine that is updated with `bow boot`: all that
 * follows from a first state, by every choice of what boots, where the power goes, what
 * the administrator does. The rules and the order of things are those of the tool; the
 * machine around them is a model.
 *
 *   boot-explore [--first] [CONFIG]	TAP; what is broken is told step by step;
 *					--first: no more after that
 *
 * The machine has two slots, A and B, and begins with A, whose data are A's. Whatever
 * a path does is decided by choose(); each path from a state that is down to the next
 * one is run for every combination of choices. At each durable step one choice is that
 * the power goes. What must hold:
 *
 *   I1  a system does not run on the other's data, nor on data half way, unless it is
 *       on trial under a checkpoint, or the user has picked it after a commit
 *   I2  a system that is marked good does not find old data
 *   I3  a system that is not good runs under live checkpoints only
 *   I4  without a checkpoint all devices have the same data, none is half way
 *   I5  from each state, without further trouble, a transaction comes to its end
 *   I6  no log is rolled back or given up but one of the transaction that is recorded
 *   I7  a new system is not started more often than it has attempts, before all goes back,
 *       nor is it rejected before it had all of them in a row
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "boot/order.h"

#define MAX_DEVS 2
#define ATTEMPTS 2
#define TRIES 2
#define MAX_ARMS 2
#define MAX_MEDDLED 2
#define HALF 2		/* of data: neither A's nor B's */
#define BY_HAND 9	/* of a log: of no transaction */

struct config {
	const char *name;
	unsigned int devs;
	bool named;		/* systems are told apart */
	bool counter;		/* the boot loader counts tries */
	bool hook_good;		/* mark_good is configured; else somebody calls... */
	bool say_good;		/* ...`good` before the boot loader is told */
	bool hook_bad;
	enum boot_arm arm;
	bool by_hand;		/* state files get lost, logs are made by hand... */
};

static const struct config configs[] = {
	{ "hooks", 1, true, true, true, false, true, BOOT_ARM_MANUAL, false },
	{ "hooks-two", 2, true, true, true, false, true, BOOT_ARM_MANUAL, false },
	{ "no-counter", 2, true, false, true, false, true, BOOT_ARM_MANUAL, false },
	{ "blessed", 2, true, true, false, true, false, BOOT_ARM_MANUAL, false },
	{ "new-system", 2, true, true, true, false, true, BOOT_ARM_NEW_SYSTEM, false },
	{ "single", 2, false, false, false, false, false, BOOT_ARM_MANUAL, false },
	{ "every-boot", 2, false, false, false, false, false, BOOT_ARM_EVERY_BOOT, false },
	{ "by-hand", 1, true, true, true, false, true, BOOT_ARM_MANUAL, true },
	{ "by-hand-two", 2, true, true, true, false, true, BOOT_ARM_MANUAL, true },
	{ "by-hand-new-system", 1, true, true, true, false, true, BOOT_ARM_NEW_SYSTEM, true },
	{ "by-hand-single", 2, false, false, false, false, false, BOOT_ARM_MANUAL, true },
};

/* ---- the machine: what survives a power cut ------------------------------------- */

struct disk {
	u8 data;	/* of the system 0 or 1, or HALF */
	u8 log;		/* enum boot_log */
	u8 uuid;
	u8 saved;	/* data at the checkpoint */
	u8 tx;		/* of which transaction the log is, or BY_HAND */
};

/* A state file, in few bytes. The ids of boots that are over mean nothing. */
struct file {
	u8 there;	/* 0: no, 1: yes, 2: yes, not to be read */
	u8 verdict, any, rejected;
	u8 new, old, good;	/* systems: 0 none, else 1 + number */
	u8 attempts, left;
	struct {
		u8 ours, has_uuid, uuid;
	} dev[MAX_DEVS];
	u8 tx;		/* which transaction this is about */
};

struct machine {
	struct disk disk[MAX_DEVS];
	struct file file, backup;
	u8 slot;	/* last installed: the boot loader prefers it */
	u8 tries;
	u8 good[2], bad[2];
	u8 arms;
	u8 committed;	/* there is no way back, by the user's will */
	u8 left;	/* the other system has run since the mark, or an abort */
	u8 starts;	/* of the new system, on data of its trial */
	u8 boots;	/* of the new system, since the other one ran */
	u8 tainted;	/* somebody has meddled with state or logs */
	u8 meddled;	/* so often */
	u8 parted;	/* one of several logs of a trial was ended by hand */
};

static const struct config *cfg;
static struct machine m;

/* ---- what is forgotten ------------------------------------------------------------ */

enum { NOT_THERE, LINEAR, COLLECTING, LIVE };

static struct {
	u8 active[MAX_DEVS];
	unsigned int system;
	bool by_hand;		/* the user has picked it */
	char id[BOOT_ID];
	bool counted;		/* as a start */
	bool unprotected;	/* runs all the same */
	bool killable;		/* what runs now may be killed */
} now;

static jmp_buf down, killed;
static bool verbose, calm;	/* calm: whatever can go wrong does not */

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, fmt);
	printf("#   ");
	vprintf(fmt, args);
	putchar('\n');
	va_end(args);
}

/* ---- choices ------------------------------------------------------------------------- */

#define MAX_CHOICES 200

static struct {
	u8 made[MAX_CHOICES], of[MAX_CHOICES];
	unsigned int nr, at;
} choices;

static unsigned int choose(unsigned int n)
{
	if (calm || n < 2)
		return 0;
	if (choices.at == MAX_CHOICES)
		abort();
	if (choices.at == choices.nr) {
		choices.made[choices.nr] = 0;
		choices.of[choices.nr++] = (u8)n;
	}
	return choices.made[choices.at++];
}

/* The next combination; false if that was the last. */
static bool next_choices(void)
{
	choices.nr = choices.at;
	while (choices.nr && choices.made[choices.nr - 1] + 1 == choices.of[choices.nr - 1])
		choices.nr--;
	if (!choices.nr)
		return false;
	choices.made[choices.nr - 1]++;
	choices.at = 0;
	return true;
}

/* The power may go before what comes next. */
static void step(const char *what)
{
	if (choose(2)) {
		say("power cut before: %s", what);
		longjmp(down, 1);
	}
	say("%s", what);
}

/* The same, or the tool is killed there and the machine goes on. */
static void act(const char *what)
{
	if (now.killable && choose(2)) {
		say("killed before: %s", what);
		now.killable = false;
		longjmp(killed, 1);
	}
	step(what);
}

static unsigned int violations;
static const char *broken;

static void must(bool holds, const char *invariant, const char *what)
{
	if (holds || broken)
		return;
	say("%s IS BROKEN: %s", invariant, what);
	broken = what;
	violations++;
	longjmp(down, 2);
}

/* ---- state files --------------------------------------------------------------------- */

static u8 to_number(const char *system)
{
	return *system ? (u8)(1 + *system - 'A') : 0;
}

static void to_system(char *text, u8 number)
{
	if (number)
		text[0] = (char)('A' + number - 1);
}

static void pack(struct file *file, const struct boot_state *state)
{
	unsigned int i;

	file->there = 1;
	file->verdict = (u8)state->verdict;
	file->any = state->any;
	file->rejected = state->rejected;
	file->new = to_number(state->new_system);
	file->old = to_number(state->old_system);
	file->good = to_number(state->good_system);
	file->attempts = (u8)state->attempts;
	file->left = (u8)state->attempts_left;
	for (i = 0; i < cfg->devs; i++) {
		file->dev[i].ours = state->dev[i].ours;
		file->dev[i].has_uuid = state->dev[i].has_uuid;
		file->dev[i].uuid = state->dev[i].uuid[0];
	}
}

/* It is some time from one transaction to the next, and to what is done by hand. */
static u64 time_of(u8 tx)
{
	return 100000 + tx * (BOOT_ENTER_SECONDS + 1ULL);
}

static void unpack(struct boot_state *state, const struct file *file)
{
	unsigned int i;

	memset(state, 0, sizeof(*state));
	if (file->there != 1)
		return;
	state->verdict = file->verdict;
	state->any = file->any;
	state->rejected = file->rejected;
	to_system(state->new_system, file->new);
	to_system(state->old_system, file->old);
	to_system(state->good_system, file->good);
	state->attempts = file->attempts;
	state->attempts_left = file->left;
	for (i = 0; i < cfg->devs; i++) {
		state->dev[i].ours = file->dev[i].ours;
		state->dev[i].has_uuid = file->dev[i].has_uuid;
		state->dev[i].uuid[0] = file->dev[i].uuid;
		if (file->dev[i].ours && !file->dev[i].has_uuid)
			state->dev[i].since = time_of(file->tx);
	}
}

/* A small number that no log has and no file names. */
static u8 new_uuid(void)
{
	u8 uuid = 0;
	unsigned int i;

again:
	uuid++;
	for (i = 0; i < cfg->devs; i++)
		if (m.disk[i].uuid == uuid || m.file.dev[i].uuid == uuid ||
		    m.backup.dev[i].uuid == uuid)
			goto again;
	return uuid;
}

/* ---- what the rules see and do ----------------------------------------------------------- */

static int look(struct boot_run *run)
{
	struct boot_input *in = &run->in;
	unsigned int i;

	memset(in, 0, sizeof(*in));
	in->system = cfg->named ? (now.system ? "B" : "A") : "";
	in->boot = now.id;
	in->now = time_of(m.file.tx);
	in->arm = cfg->arm;
	in->attempts = ATTEMPTS;
	in->no_state = !m.file.there;
	in->bad_state = m.file.there == 2;
	in->nr = cfg->devs;
	for (i = 0; i < cfg->devs; i++) {
		in->dev[i].log = m.disk[i].log;
		in->dev[i].uuid[0] = m.disk[i].uuid;
		in->dev[i].time = time_of(m.disk[i].tx);
		in->dev[i].configured = true;
		in->dev[i].active = now.active[i] != NOT_THERE;
		in->dev[i].collecting = now.active[i] == COLLECTING;
	}
	return 0;
}

static int do_save(struct boot_run *run __always_unused, const struct boot_state *state)
{
	static const char * const words[] = {
		"record: idle", "record: armed", "record: entering", "record: trial",
		"record: good", "record: commit", "record: rollback",
	};

	act(words[state->verdict]);
	must(m.file.there != 2, "I6", "a file that cannot be read is overwritten");
	pack(&m.file, state);
	m.committed |= state->verdict == BOOT_COMMIT;
	if (state->verdict == BOOT_IDLE || state->verdict == BOOT_GOOD)
		m.starts = 0;
	return 0;
}

static void end_of(struct disk *disk)
{
	disk->log = BOOT_LOG_NONE;
	disk->uuid = disk->saved = disk->tx = 0;
}

static void restore(struct disk *disk)
{
	m.starts = 0;
	disk->log = BOOT_LOG_RESTORING;
	disk->data = HALF;
	step("restored");
	disk->data = disk->saved;
	end_of(disk);
}

static void commit(struct disk *disk)
{
	disk->log = BOOT_LOG_COMMITTING;
	step("committed");
	end_of(disk);
}

static bool is_recorded(unsigned int i)
{
	return m.file.there == 1 && m.file.tx == m.disk[i].tx;
}

static int do_end(struct boot_run *run __always_unused, unsigned int i,
		  enum boot_ending ending)
{
	struct disk *disk = &m.disk[i];

	if (ending == BOOT_END_FINISH) {
		step("finish what was begun");
		ending = disk->log == BOOT_LOG_RESTORING ? BOOT_END_RESTORE : BOOT_END_COMMIT;
	} else {
		act(ending == BOOT_END_RESTORE ? "begin a restore" : "begin a commit");
		must(disk->log == BOOT_LOG_LIVE, "I6", "there is no live log");
		must(is_recorded(i), "I6", "the log is not that which is recorded");
		must(!m.parted, "I4", "what somebody has left of a trial is ended unasked");
	}
	if (ending == BOOT_END_RESTORE) {
		must(!now.active[i], "I6", "the device is in use");
		restore(disk);
	} else {
		commit(disk);
		if (now.active[i])
			now.active[i] = COLLECTING;
	}
	return 0;
}

static void count_start(void)
{
	m.starts += !now.counted;
	now.counted = true;
	must(cfg->by_hand || m.starts <= ATTEMPTS, "I7", "more starts than attempts");
}

static int do_make(struct boot_run *run __always_unused, unsigned int i,
		   enum boot_make make)
{
	must(!now.active[i], "I4", "made twice");
	must((make == BOOT_MAKE_RESUME) == (m.disk[i].log == BOOT_LOG_LIVE), "I4",
	     "made over a log, or resumed without");
	must(m.disk[i].log <= BOOT_LOG_LIVE, "I4", "made over a log that is ending");
	now.active[i] = make == BOOT_MAKE_LINEAR ? LINEAR :
			make == BOOT_MAKE_BOW ? COLLECTING : LIVE;
	if (make == BOOT_MAKE_RESUME && m.file.verdict == BOOT_TRIAL)
		count_start();
	step("a device is there");
	return 0;
}

static void mark(bool good)
{
	act(good ? "the slot is marked good" : "the slot is marked bad");
	m.good[now.system] = good;
	m.bad[now.system] = !good;
	m.left = false;
	/* What is marked good is also what boots by default. */
	if (good)
		m.slot = (u8)now.system;
}

static int do_mark(struct boot_run *run __always_unused, bool good)
{
	if (good ? cfg->hook_good : cfg->hook_bad)
		mark(good);
	return 0;
}

static int do_trim(struct boot_run *run __always_unused, unsigned int i)
{
	must(now.active[i] == COLLECTING, "I3", "trimmed, and nothing collects");
	return 0;
}

static int do_checkpoint(struct boot_run *run __always_unused)
{
	unsigned int i;

	for (i = 0; i < cfg->devs; i++) {
		struct disk *disk = &m.disk[i];

		if (now.active[i] != COLLECTING)
			continue;
		if (choose(2)) {
			say("no room for a checkpoint");
			return 16;
		}
		step("checkpoint");
		disk->log = BOOT_LOG_LIVE;
		disk->uuid = new_uuid();
		disk->saved = disk->data;
		disk->tx = m.file.tx;
		now.active[i] = LIVE;
	}
	return 0;
}

static const struct boot_ops ops = {
	.save = do_save, .end = do_end, .make = do_make, .mark = do_mark,
	.trim = do_trim, .checkpoint = do_checkpoint, .look = look,
};

static void begin(struct boot_run *run)
{
	memset(run, 0, sizeof(*run));
	run->ops = &ops;
	look(run);
	unpack(&run->state, &m.file);
}

/* ---- a system runs --------------------------------------------------------------------- */

static bool all_live(void)
{
	unsigned int i;

	for (i = 0; i < cfg->devs; i++)
		if (now.active[i] != LIVE || m.disk[i].log != BOOT_LOG_LIVE)
			return false;
	return true;
}

static bool no_logs(void)
{
	unsigned int i;

	for (i = 0; i < cfg->devs; i++)
		if (m.disk[i].log != BOOT_LOG_NONE)
			return false;
	return true;
}

static bool all_data_of(u8 system)
{
	unsigned int i;

	for (i = 0; i < cfg->devs; i++)
		if (m.disk[i].data != system)
			return false;
	return true;
}

static bool same_data(void)
{
	return all_data_of(m.disk[0].data) && m.disk[0].data != HALF;
}

static void check_named(const struct boot_run *run)
{
	bool ours = all_data_of((u8)now.system);

	if (!m.good[now.system])
		must(all_live(), "I3", "the new system runs without a checkpoint");
	if (!ours && all_live())
		must(boot_is_new(&run->state, &run->in), "I1",
		     "a system that is not on trial runs on a live log");
	else if (!ours)
		must(now.by_hand && m.committed, "I1",
		     "a system runs on data of the other, or half way");
	if (!ours && m.good[now.system])
		must(m.left || (now.by_hand && m.committed), "I2",
		     "a good system has lost its data");
	if (m.file.good == 1 + now.system && no_logs())
		must(same_data(), "I4", "one device new, the other old");
}

static void check_running(const struct boot_run *run)
{
	unsigned int i;

	for (i = 0; i < cfg->devs; i++)
		must(now.active[i] != NOT_THERE, "I4", "runs without a device");
	if (m.tainted || now.unprotected)
		return;
	if (no_logs())
		must(same_data(), "I4", "one device new, the other old");
	else
		must(all_live(), "I4", "one device under a checkpoint, the other not");
	if (cfg->named)
		check_named(run);
	if (cfg->arm == BOOT_ARM_EVERY_BOOT)
		must(all_live() || m.committed, "I3", "a boot without a checkpoint");
}

static void migrate(u8 to)
{
	unsigned int i;

	for (i = 0; i < cfg->devs; i++) {
		if (m.disk[i].data == to)
			continue;
		m.disk[i].data = HALF;
		step("half way to new data");
		m.disk[i].data = to;
	}
}

/*
 * A system on trial makes the data its own, a single one is updated. An old one that is
 * picked after a commit leaves them what they are, and does with them what it can.
 */
static void write_data(void)
{
	unsigned int i;

	if (all_live() && !m.tainted)
		migrate(cfg->named ? (u8)now.system : !m.disk[0].saved);
	else if (now.unprotected)
		for (i = 0; i < cfg->devs; i++)
			m.disk[i].data = !m.disk[i].data;
}

/* ---- what the administrator, and what comes with the system, does ----------------------- */

static void record_armed(const struct boot_state *next)
{
	if (cfg->arm != BOOT_ARM_NEW_SYSTEM) {
		step("record: armed");
		must(m.file.there != 2, "I6", "a file that cannot be read is overwritten");
		pack(&m.file, next);
	}
	m.file.tx = ++m.arms;
	m.boots = 0;
}

/* First of all it is recorded; then the other slot may change. */
static void update(struct boot_run *run)
{
	enum boot_answer answer;
	struct boot_state next;
	unsigned int other = cfg->named ? !now.system : 0;

	/* Who updates from an old system on new data is on his own. */
	if (cfg->named && !all_data_of((u8)now.system))
		return;
	answer = boot_arm(&run->state, &run->in, cfg->named ? (other ? "B" : "A") : NULL,
			  ATTEMPTS, &next);
	if (answer != BOOT_DO)
		return;

	record_armed(&next);
	if (!cfg->named)
		return;
	step("the other slot is written");
	m.good[other] = m.bad[other] = 0;
	m.committed = m.left = false;
	step("the boot loader is to try the other slot");
	m.slot = (u8)other;
	m.tries = TRIES;
}

static void give_up(struct boot_run *run)
{
	enum boot_answer answer;

	m.left = true;
	boot_do_abort(run, &answer);
}

static void be_good(struct boot_run *run)
{
	enum boot_answer answer;

	if (cfg->say_good)
		boot_do_good(run, &answer);
	if (cfg->named && !cfg->hook_good && boot_is_new(&run->state, &run->in) &&
	    !run->state.rejected)
		mark(true);
	look(run);
	boot_do_commit(run, &answer);
}

/* The tool may be killed in the middle; then it is started again, or something else. */
static void decide_about(struct boot_run *run, bool good)
{
	now.killable = !calm;
	if (!setjmp(killed)) {
		if (good)
			be_good(run);
		else
			give_up(run);
	} else {
		begin(run);
		if (choose(2))
			give_up(run);
		else
			be_good(run);
	}
	now.killable = false;
}

static void live(struct boot_run *run)
{
	bool on_trial = run->state.verdict == BOOT_TRIAL || run->state.verdict == BOOT_GOOD;

	check_running(run);
	write_data();
	look(run);
	if (calm) {
		if (on_trial)
			decide_about(run, true);
		return;
	}
	switch (choose(on_trial ? 3 : 2)) {
	case 0:
		step("shut down");
		break;
	case 1:
		if (on_trial)
			decide_about(run, true);
		else if (m.arms < MAX_ARMS && run->state.verdict <= BOOT_ARMED)
			update(run);
		break;
	case 2:
		decide_about(run, false);
		break;
	}
}

/* ---- one boot ------------------------------------------------------------------------------ */

static void protect(struct boot_run *run)
{
	enum boot_answer answer;

	look(run);
	if (boot_do_protect(run, &answer) || answer > BOOT_NOTHING) {
		/* A single system may be used for all that. */
		if (cfg->named || m.tainted || choose(2)) {
			say("no protection, nothing runs");
			longjmp(down, 1);
		}
		say("no protection");
		now.unprotected = true;
	}
	look(run);
}

static void boot(void)
{
	struct boot_plan plan;
	struct boot_run run;
	bool new;

	strcpy(now.id, "now");
	m.left |= cfg->named && now.system != m.slot;
	begin(&run);
	boot_plan(&run.state, &run.in, &plan);
	new = boot_is_new(&plan.first, &run.in) || boot_is_new(&plan.then, &run.in);
	if (new && m.boots <= ATTEMPTS)
		m.boots++;
	if (!run.state.rejected && plan.then.rejected)
		must(cfg->by_hand || m.boots > ATTEMPTS, "I7", "rejected too early");
	if (boot_do_plan(&run, &plan) || plan.refused) {
		say("refused, nothing runs");
		longjmp(down, 1);
	}
	if (!new)
		m.boots = 0;
	protect(&run);
	if (boot_is_rejected(&run.state, &run.in) && !choose(2)) {
		/* Who is told that a reboot is wanted tells the boot loader. */
		if (calm && !cfg->hook_bad)
			mark(false);
		longjmp(down, 1);
	}
	live(&run);
}

static unsigned int what_boots(void)
{
	if (!cfg->named)
		return 0;
	if (m.good[m.slot])
		return m.slot;
	if (m.bad[m.slot] || (cfg->counter && !m.tries))
		return !m.slot;
	if (cfg->counter)
		m.tries--;
	return m.slot;
}

static void boot_something(void)
{
	memset(&now, 0, sizeof(now));
	now.system = what_boots();
	if (cfg->named && m.arms && choose(2)) {
		now.by_hand = true;
		now.system = !now.system;
	}
	say("boot of %c%s, data %d%d", 'A' + now.system, now.by_hand ? ", picked by hand" : "",
	    m.disk[0].data, m.disk[1].data);
	boot();
}

/* ---- what should not happen, and does ------------------------------------------------------ */

static bool parts(void)
{
	return cfg->devs > 1 && m.file.there == 1 && m.disk[0].log == BOOT_LOG_LIVE &&
	       (m.file.verdict == BOOT_TRIAL || m.file.verdict == BOOT_GOOD) &&
	       m.disk[0].tx == m.file.tx && m.disk[1].tx == m.file.tx &&
	       m.disk[1].log == BOOT_LOG_LIVE;
}

static void meddle(void)
{
	struct disk *disk = &m.disk[0];
	bool parted = false;

	switch (choose(7)) {
	case 1:
		say("the state file is gone");
		memset(&m.file, 0, sizeof(m.file));
		break;
	case 2:
		say("the state file cannot be read");
		m.file.there = 2;
		break;
	case 3:
		if (m.backup.there || m.tainted)
			return;
		say("a copy of the state file is put away");
		m.backup = m.file;
		m.meddled++;
		return;
	case 4:
		if (!m.backup.there)
			return;
		say("that copy is put back");
		m.file = m.backup;
		memset(&m.backup, 0, sizeof(m.backup));
		break;
	case 5:
		if (disk->log == BOOT_LOG_NONE) {
			say("a checkpoint by hand");
			disk->log = BOOT_LOG_LIVE;
			disk->uuid = new_uuid();
			disk->saved = disk->data;
			disk->tx = BY_HAND;
		} else {
			say("a rollback by hand");
			parted = parts();
			if (disk->log != BOOT_LOG_COMMITTING)
				disk->data = disk->saved;
			end_of(disk);
		}
		break;
	case 6:
		if (disk->log == BOOT_LOG_NONE)
			return;
		say("a commit by hand");
		parted = parts();
		if (disk->log == BOOT_LOG_RESTORING)
			disk->data = disk->saved;
		end_of(disk);
		break;
	default:
		return;
	}
	/* One device gone its own way is beyond what is promised. */
	m.tainted = true;
	m.parted = parted;
	m.meddled++;
}

/* ---- I5 --------------------------------------------------------------------------------------- */

static bool is_over(void)
{
	if (!no_logs() || !same_data())
		return false;
	if (m.file.verdict == BOOT_IDLE)
		return true;
	/* Armed for a system that the boot loader does not boot any more. */
	return m.file.verdict == BOOT_ARMED && cfg->named &&
	       now.system == m.disk[0].data && m.file.new != 1 + now.system;
}

static void must_end(const char *what)
{
	struct machine before = m;
	volatile unsigned int boots;

	calm = true;
	for (boots = 0; boots < 12; boots++) {
		switch (setjmp(down)) {
		case 0:
			memset(&now, 0, sizeof(now));
			now.system = what_boots();
			say("(calm) boot of %c", 'A' + now.system);
			boot();
			break;
		case 2:
			calm = false;
			return;
		}
		if (is_over())
			break;
	}
	calm = false;
	if (boots == 12 && !broken) {
		say("I5 IS BROKEN: %s", what);
		broken = what;
		violations++;
	}
	m = before;
}

/* ---- the search --------------------------------------------------------------------------------- */

struct found {
	struct machine machine;
	u32 from;
	u32 next;	/* in the same bucket */
	u8 nr_choices;
	u8 choices[47];
};

#define BUCKETS (1U << 20)

static struct found *found;
static u32 nr_found, max_found;
static u32 *buckets;

static u32 bucket_of(const struct machine *machine)
{
	return crc32c(0, machine, sizeof(*machine)) % BUCKETS;
}

/*
 * What data there are is not looked at any more where somebody has meddled; and either
 * system may boot next, by hand.
 */
static void forget_data(void)
{
	unsigned int i;

	for (i = 0; i < cfg->devs; i++)
		m.disk[i].data = m.disk[i].saved = 0;
	m.committed = m.left = false;
	m.slot = m.tries = 0;
	memset(m.good, 0, sizeof(m.good));
	memset(m.bad, 0, sizeof(m.bad));
}

static void remember(u32 from)
{
	struct found *f;
	u32 bucket, i;

	if (m.tainted)
		forget_data();
	if (cfg->by_hand)
		m.starts = m.boots = 0;		/* counted in the other configurations */
	bucket = bucket_of(&m);
	for (i = buckets[bucket]; i; i = found[i].next)
		if (!memcmp(&found[i].machine, &m, sizeof(m)))
			return;
	if (nr_found == max_found) {
		max_found = max_found ? 2 * max_found : 4096;
		found = realloc(found, max_found * sizeof(*found));
		if (!found)
			abort();
	}
	f = &found[nr_found];
	f->machine = m;
	f->from = from;
	f->next = buckets[bucket];
	f->nr_choices = (u8)min(choices.at, (unsigned int)sizeof(f->choices));
	memcpy(f->choices, choices.made, f->nr_choices);
	buckets[bucket] = nr_found++;
}

/* One path from a state that is down to the next. */
static void run_path(void)
{
	broken = NULL;
	if (!setjmp(down)) {
		if (cfg->by_hand && m.meddled < MAX_MEDDLED)
			meddle();
		boot_something();
	}
}

/* Show how a state was reached, from the beginning. */
static void tell(u32 i)
{
	if (!i)
		return;
	tell(found[i].from);
	m = found[found[i].from].machine;
	choices.nr = found[i].nr_choices;
	memcpy(choices.made, found[i].choices, choices.nr);
	choices.at = 0;
	run_path();
}

static void report(u32 from, const char *what)
{
	u8 made[MAX_CHOICES];
	unsigned int nr = choices.at;

	printf("# %s: %s\n", cfg->name, what);
	memcpy(made, choices.made, nr);
	verbose = true;
	tell(from);
	m = found[from].machine;
	memcpy(choices.made, made, nr);
	choices.nr = nr;
	choices.at = 0;
	run_path();
	if (!broken)
		must_end(what);
	verbose = false;
}

static bool must_come_to_an_end(void)
{
	return !m.tainted && cfg->arm != BOOT_ARM_EVERY_BOOT;
}

static void explore_from(u32 i)
{
	choices.nr = 0;
	do {
		choices.at = 0;
		m = found[i].machine;
		run_path();
		if (!broken && must_come_to_an_end()) {
			must_end("a transaction does not end");
			if (broken)
				choices.at = choices.nr;
		}
		if (broken) {
			report(i, broken);
			return;
		}
		remember(i);
	} while (next_choices());
}

static void first_machine(void)
{
	memset(&m, 0, sizeof(m));
	m.good[0] = 1;
	if (cfg->arm == BOOT_ARM_NEW_SYSTEM) {
		m.file.there = 1;
		m.file.good = 1;
	}
}

static bool explore(const struct config *config)
{
	u32 i;

	cfg = config;
	nr_found = 0;
	violations = 0;
	memset(buckets, 0, BUCKETS * sizeof(*buckets));
	first_machine();
	choices.at = 0;
	remember(0);
	remember(0);	/* number 0 is in no bucket's list */
	for (i = 0; i < nr_found && !violations; i++)
		explore_from(i);
	return !violations;
}

int main(int argc, char **argv)
{
	bool first = argc > 1 && !strcmp(argv[1], "--first");
	const char *only = argv[first ? 2 : 1];
	unsigned int i, nr = 0, failed = 0;

	buckets = calloc(BUCKETS, sizeof(*buckets));
	if (!buckets)
		return 1;
	for (i = 0; i < ARRAY_SIZE(configs) && !(first && failed); i++) {
		bool ok;

		if (only && strcmp(only, configs[i].name))
			continue;
		ok = explore(&configs[i]);
		failed += !ok;
		printf("%sok %u - %s: %u states\n", ok ? "" : "not ", ++nr, configs[i].name,
		       nr_found);
		fflush(stdout);
	}
	printf("1..%u\n", nr);
	return !nr || failed;
}
