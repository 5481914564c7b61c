// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Between suspend and resume this process may stand in its own way: whatever it
 * reads from or writes to a filesystem on a suspended device waits for a resume
 * that it should do itself. So all memory is locked and all tasks made
 * beforehand, and in between there is nothing but ioctls.
 *
 * If the worker dies there, a guardian resumes: a child that waits on a pipe
 * whose other end the worker has. It does the same if the worker takes too long
 * to suspend all: nothing can interrupt that.
 */
#include <errno.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "critical.h"
#include "dm-task.h"

#define HEAP_RESERVE (4U << 20)
#define HEAP_PER_STEP (64U << 10)	/* the library keeps what the ioctl said */
#define STACK_RESERVE (256U << 10)

/* An ioctl that is ready to be made. */
struct step {
	struct dm_task *dmt;
	uint32_t cookie;	/* of a resume: whoever does it waits for udev */
	bool run;
};

struct steps {
	struct step *suspend, *clear, *act, *resume;
	unsigned int nr, nr_acts;
};

struct guardian {
	pid_t pid;
	int pipe;		/* what the worker says: one of the words below */
	int answers;		/* what it says: a byte when it is ready, then... */
};				/* ...to SUSPENDED whether it was too late */

enum word {
	DISMISSED,		/* all is well */
	SUSPENDING,
	SUSPENDED,		/* all of them, or no more of them */
	NOTHING,		/* said in time */
	DEATH,			/* of the worker */
};

/* Too late: how often to look for what has been suspended since. */
#define AGAIN_MS 500

/* ---- steps ------------------------------------------------------------------- */

static bool make_step(struct step *step, int type, const char *name,
		      unsigned int udev_flags)
{
	step->dmt = dm_task_create(type);
	if (!step->dmt || !dm_task_set_name(step->dmt, name))
		return false;
	return type != DM_DEVICE_RESUME ||
	       dm_task_set_cookie(step->dmt, &step->cookie, (uint16_t)udev_flags);
}

static bool make_act(struct step *step, const struct critical_action *action)
{
	if (!action->message)
		return make_step(step, DM_DEVICE_RESUME, action->name,
				 action->udev_flags);
	return make_step(step, DM_DEVICE_TARGET_MSG, action->name, 0) &&
	       dm_task_set_sector(step->dmt, 0) &&
	       dm_task_set_message(step->dmt, action->message);
}

static bool make_steps(struct steps *steps, const struct critical *crit)
{
	unsigned int i;

	steps->nr = crit->nr_names;
	steps->nr_acts = crit->nr_actions;
	steps->suspend = calloc(3 * (size_t)steps->nr + steps->nr_acts,
				sizeof(struct step));
	if (!steps->suspend)
		return false;
	steps->resume = steps->suspend + steps->nr;
	steps->clear = steps->resume + steps->nr;
	steps->act = steps->clear + steps->nr;
	for (i = 0; i < steps->nr; i++)
		if (!make_step(&steps->suspend[i], DM_DEVICE_SUSPEND, crit->names[i], 0) ||
		    !make_step(&steps->resume[i], DM_DEVICE_RESUME, crit->names[i], 0) ||
		    !make_step(&steps->clear[i], DM_DEVICE_CLEAR, crit->names[i], 0) ||
		    (crit->no_lockfs && !dm_task_skip_lockfs(steps->suspend[i].dmt)))
			return false;
	for (i = 0; i < steps->nr_acts; i++)
		if (!make_act(&steps->act[i], &crit->actions[i]))
			return false;
	return true;
}

static unsigned int count_steps(const struct steps *steps)
{
	return 3 * steps->nr + steps->nr_acts;
}

static int run_step(struct step *step)
{
	int err;

	step->run = true;
	if (dm_task_run(step->dmt))
		return 0;
	err = dm_task_get_errno(step->dmt);
	return err ? err : EIO;
}

/* Nobody would ever tell of what was not run. */
static void wait_for_udev(struct step *step)
{
	if (step->cookie && !step->run)
		dm_udev_complete(step->cookie);
	dm_udev_wait(step->cookie);
	step->cookie = 0;
}

static void wait_for_all(struct steps *steps)
{
	unsigned int i;

	for (i = 0; i < steps->nr; i++)
		wait_for_udev(&steps->resume[i]);
	for (i = 0; i < steps->nr_acts; i++)
		wait_for_udev(&steps->act[i]);
}

static void destroy_steps(struct steps *steps)
{
	unsigned int i;

	if (!steps->suspend)
		return;
	wait_for_all(steps);
	for (i = 0; i < count_steps(steps); i++)
		if (steps->suspend[i].dmt)
			dm_task_destroy(steps->suspend[i].dmt);
	free(steps->suspend);
}

/* ---- memory --------------------------------------------------------------- */

/* Grow the stack now: a locked process still gets new pages, but late. */
static __attribute__((noinline)) void touch_stack(void)
{
	volatile char room[STACK_RESERVE];
	size_t i;

	for (i = 0; i < sizeof(room); i += 4096)
		room[i] = 0;
}

/* Have the allocator keep a touched reserve: no mmap, no brk later. */
static void touch_heap(size_t size)
{
	char *room;

	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_MMAP_MAX, 0);
	room = malloc(size);
	if (room)
		memset(room, 1, size);
	free(room);
}

static int lock_memory(const struct steps *steps)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return -errno;
	touch_stack();
	touch_heap(HEAP_RESERVE + (size_t)count_steps(steps) * HEAP_PER_STEP);
	return 0;
}

static void spare_from_oom_killer(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		warn_msg("cannot protect this process from the OOM killer: %s",
			 strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* ---- signals ------------------------------------------------------------------ */

void block_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, old);
}

/* Does anybody want us to stop? Kept for when signals are let in again. */
static bool want_to_stop(void)
{
	sigset_t set;

	return !sigpending(&set) &&
	       (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
		sigismember(&set, SIGHUP) || sigismember(&set, SIGQUIT));
}

/* ---- guardian --------------------------------------------------------------- */

/* Of any of them, whoever did what until now. */
static void resume_all(struct steps *steps)
{
	unsigned int i;

	for (i = steps->nr; i--; )
		run_step(&steps->resume[i]);
}

/*
 * While the worker suspends: the first ones first, for the one that it is at can
 * be waiting for those. What is not suspended is left alone by this.
 */
static void resume_early(struct steps *steps)
{
	unsigned int i;

	for (i = 0; i < steps->nr; i++)
		run_step(&steps->resume[i]);
}

static enum word hear(int from_worker, int timeout_ms)
{
	struct pollfd fd = { .fd = from_worker, .events = POLLIN };
	ssize_t n;
	char byte;

	do
		n = poll(&fd, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (!n)
		return NOTHING;
	do
		n = read(from_worker, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1 ? (enum word)byte : DEATH;
}

/* Until the worker has died, or needs nobody any more. */
static enum word watch(int from_worker, int to_worker, const struct critical *crit,
		       struct steps *steps)
{
	int timeout_ms = -1;
	bool late = false;
	enum word word;

	while ((word = hear(from_worker, timeout_ms)) != DISMISSED && word != DEATH) {
		if (word == NOTHING) {
			late = true;
			resume_early(steps);
			timeout_ms = AGAIN_MS;
		} else if (word == SUSPENDING) {
			timeout_ms = crit->suspend_ms ? (int)crit->suspend_ms : -1;
		} else {
			timeout_ms = -1;
			if (write(to_worker, late ? "1" : "", 1) != 1)
				return DEATH;
		}
	}
	return word;
}

static void guard(int from_worker, int to_worker, const struct critical *crit,
		  struct steps *steps)
{
	char name[16], byte = 0;

	/* Not to be hit by what is meant for the worker's group. */
	setsid();
	snprintf(name, sizeof(name), "%s-guardian", program_name);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	if (lock_memory(steps) || write(to_worker, &byte, 1) != 1)
		_exit(1);
	if (watch(from_worker, to_worker, crit, steps) == DISMISSED)
		_exit(0);
	resume_all(steps);
	wait_for_all(steps);
	if (crit->undo)
		crit->undo(crit->data);
	_exit(0);
}

static int start_guardian(struct guardian *guardian, const struct critical *crit,
			  struct steps *steps)
{
	int down[2], up[2];
	char byte;

	if (pipe2(down, O_CLOEXEC))
		return -errno;
	if (pipe2(up, O_CLOEXEC))
		return -errno;
	/* Else the child would print what we have not written yet. */
	fflush(NULL);
	guardian->pid = fork();
	if (guardian->pid < 0)
		return -errno;
	if (!guardian->pid) {
		close(down[1]);
		close(up[0]);
		guard(down[0], up[1], crit, steps);
	}
	close(down[0]);
	close(up[1]);
	guardian->pipe = down[1];
	guardian->answers = up[0];
	/* The child's end closes if it could not get ready. */
	return read(up[0], &byte, 1) == 1 ? 0 : -EAGAIN;
}

static bool tell(const struct guardian *guardian, enum word word)
{
	char byte = (char)word;

	return write(guardian->pipe, &byte, 1) == 1;
}

/* From here on it leaves the devices alone. Did it until now? */
static bool in_time(const struct guardian *guardian)
{
	char late;

	return tell(guardian, SUSPENDED) && read(guardian->answers, &late, 1) == 1 && !late;
}

static void leave(struct guardian *guardian)
{
	close(guardian->pipe);
	waitpid(guardian->pid, NULL, 0);
	close(guardian->answers);
}

static void dismiss_guardian(struct guardian *guardian)
{
	if (!tell(guardian, DISMISSED))
		warn_msg("the guardian process is gone");
	leave(guardian);
}

/* ---- the section itself ------------------------------------------------------ */

static void pause_ms(unsigned int ms)
{
	struct timespec time = {
		.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L,
	};

	if (ms)
		nanosleep(&time, NULL);
}

static void wait_at(const struct critical *crit, enum critical_point point)
{
	char byte;

	if (crit->wait == point && read(STDIN_FILENO, &byte, 1) < 0)
		pause_ms(0);
}

static void failed_at(struct critical *crit, enum critical_stage stage,
		      unsigned int index, int error)
{
	if (crit->error)
		return;
	crit->stage = stage;
	crit->index = index;
	crit->error = error;
}

/* How many are to be resumed. */
static unsigned int suspend_all(struct critical *crit, struct steps *steps,
				const struct guardian *guardian)
{
	double start = now_ms(), end, longest = 0;
	unsigned int i, slowest = 0;
	int err;

	tell(guardian, SUSPENDING);
	for (i = 0; i < steps->nr && !crit->error; i++) {
		err = run_step(&steps->suspend[i]);
		if (err)
			failed_at(crit, CRITICAL_SUSPEND, i, err);
		end = now_ms();
		if (end - start > longest) {
			longest = end - start;
			slowest = i;
		}
		start = end;
	}
	if (!in_time(guardian))
		failed_at(crit, CRITICAL_SUSPEND, slowest, ETIMEDOUT);
	/* The one that failed as well: it may have got half-way. */
	return i;
}

static void act_all(struct critical *crit, struct steps *steps)
{
	unsigned int i;
	int err;

	for (i = 0; i < steps->nr_acts && !crit->error; i++) {
		err = run_step(&steps->act[i]);
		if (err)
			failed_at(crit, CRITICAL_ACT, i, err);
	}
}

/* Nothing here may touch a file, write a message or wait for udev. */
static void suspended_section(struct critical *crit, struct steps *steps,
			      const struct guardian *guardian)
{
	double start = now_ms();
	unsigned int i = suspend_all(crit, steps, guardian);
	int err;

	wait_at(crit, CRITICAL_SUSPENDED);
	act_all(crit, steps);
	if (!crit->error)
		pause_ms(crit->pause_ms);
	wait_at(crit, CRITICAL_ACTED);
	while (i--) {
		if (crit->swap && crit->error)
			run_step(&steps->clear[i]);
		err = run_step(&steps->resume[i]);
		if (err)
			failed_at(crit, CRITICAL_RESUME, i, err);
	}
	crit->ms = now_ms() - start;
}

static void prepare_and_go(struct critical *crit, struct steps *steps,
			   const struct guardian *guardian)
{
	int r = 0;

	wait_at(crit, CRITICAL_START);
	if (crit->prepare)
		r = crit->prepare(crit->data);
	if (r)
		failed_at(crit, CRITICAL_PREPARE, 0, -r);
	wait_at(crit, CRITICAL_PREPARED);
	crit->interrupted = crit->undo && want_to_stop();
	if (!r && !crit->interrupted)
		suspended_section(crit, steps, guardian);
	/* A table that has been swapped is in use now. */
	if (crit->undo && !crit->swap && want_to_stop())
		crit->interrupted = true;
}

/* If a resume failed the guardian's may not: let it try. */
static int finish(struct critical *crit, struct steps *steps,
		  struct guardian *guardian)
{
	if (crit->error && crit->stage == CRITICAL_RESUME) {
		leave(guardian);	/* it does what it would do if we had died */
		error_msg("%s: cannot resume: %s; try 'dmsetup resume %s'",
			  crit->names[crit->index], strerror(crit->error),
			  crit->names[crit->index]);
		bow_dm_print_log();
		return BOW_SYSTEM;
	}
	wait_for_all(steps);
	if (crit->undo && (crit->error || crit->interrupted))
		crit->undo(crit->data);
	dismiss_guardian(guardian);
	return BOW_OK;
}

static int run_guarded(struct critical *crit, struct steps *steps)
{
	struct guardian guardian = { .pid = -1, .pipe = -1, .answers = -1 };
	int r, status;
	sigset_t old;

	signal(SIGPIPE, SIG_IGN);
	block_signals(&old);
	r = start_guardian(&guardian, crit, steps);
	if (r) {
		status = fail(BOW_SYSTEM, "cannot start a guardian process: %s",
			      strerror(-r));
	} else {
		prepare_and_go(crit, steps, &guardian);
		status = finish(crit, steps, &guardian);
	}
	/* Ends us if somebody wanted that. */
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

static int run_locked(struct critical *crit, struct steps *steps)
{
	int r = lock_memory(steps), status;

	if (r)
		status = fail(BOW_SYSTEM, "cannot lock memory: %s; this needs root",
			      strerror(-r));
	else
		status = run_guarded(crit, steps);
	munlockall();
	return status;
}

int critical_run(struct critical *crit)
{
	struct steps steps = { 0 };
	int status;

	crit->error = 0;
	crit->interrupted = false;
	/* An open control node and a checked version, before it matters. */
	dm_hold_control_dev(1);
	if (make_steps(&steps, crit)) {
		spare_from_oom_killer();
		status = run_locked(crit, &steps);
	} else {
		status = fail(BOW_SYSTEM, "cannot prepare for the suspend of %s",
			      crit->names[0]);
	}
	destroy_steps(&steps);
	return status;
}

int critical_message(struct critical *crit, const char *name,
		     const char *message)
{
	struct critical_action action = { .name = name, .message = message };
	int status;

	crit->names = &name;
	crit->nr_names = 1;
	crit->actions = &action;
	crit->nr_actions = 1;
	status = critical_run(crit);
	if (!status && crit->error && crit->stage == CRITICAL_SUSPEND) {
		error_msg("%s: cannot suspend: %s", name, strerror(crit->error));
		bow_dm_print_log();
		status = BOW_SYSTEM;
	}
	crit->names = NULL;
	crit->actions = NULL;
	return status;
}

enum critical_point critical_point(const char *word)
{
	static const char * const words[] = {
		[CRITICAL_START] = "start",
		[CRITICAL_PREPARED] = "prepared",
		[CRITICAL_SUSPENDED] = "suspended",
		[CRITICAL_ACTED] = "acted",
	};
	unsigned int i;

	for (i = CRITICAL_START; i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return (enum critical_point)i;
	return CRITICAL_NOWHERE;
}
