// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Between suspend and resume this process may stand in its own way: whatever it
 * reads from or writes to a filesystem on the suspended device waits for a
 * resume that it should do itself. So all memory is locked and all tasks made
 * beforehand, and in between there is nothing but ioctls.
 *
 * If the worker dies there, a guardian resumes: a child that waits on a pipe
 * whose other end the worker has.
 */
#include <errno.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "critical.h"
#include "dm.h"

#define HEAP_RESERVE (4U << 20)
#define STACK_RESERVE (256U << 10)

struct tasks {
	struct dm_task *suspend, *message, *resume;
	uint32_t cookie;	/* of the resume: whoever does it waits for udev */
};

/* A guardian has only one thing to say: that it is ready. */
struct guardian {
	pid_t pid;
	int pipe;		/* our end; a byte in it: all is well */
};

static struct dm_task *named_task(int type, const char *name)
{
	struct dm_task *dmt = dm_task_create(type);

	if (dmt && dm_task_set_name(dmt, name))
		return dmt;
	if (dmt)
		dm_task_destroy(dmt);
	return NULL;
}

static bool make_tasks(struct tasks *tasks, const struct critical *crit)
{
	tasks->suspend = named_task(DM_DEVICE_SUSPEND, crit->name);
	tasks->message = named_task(DM_DEVICE_TARGET_MSG, crit->name);
	tasks->resume = named_task(DM_DEVICE_RESUME, crit->name);
	return tasks->suspend && tasks->message && tasks->resume &&
	       dm_task_set_sector(tasks->message, 0) &&
	       dm_task_set_message(tasks->message, crit->message) &&
	       dm_task_set_cookie(tasks->resume, &tasks->cookie, 0);
}

static void destroy_tasks(struct tasks *tasks)
{
	if (tasks->suspend)
		dm_task_destroy(tasks->suspend);
	if (tasks->message)
		dm_task_destroy(tasks->message);
	if (tasks->resume)
		dm_task_destroy(tasks->resume);
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
static void touch_heap(void)
{
	char *room;

	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_MMAP_MAX, 0);
	room = malloc(HEAP_RESERVE);
	if (room)
		memset(room, 1, HEAP_RESERVE);
	free(room);
}

static int lock_memory(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return -errno;
	touch_stack();
	touch_heap();
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

/* ---- guardian --------------------------------------------------------------- */

static void block_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, old);
}

static void guard(int from_worker, int to_worker, struct tasks *tasks)
{
	char byte = 0;
	ssize_t n;

	/* Not to be hit by what is meant for the worker's group. */
	setsid();
	prctl(PR_SET_NAME, "bow-guardian", 0, 0, 0);
	if (lock_memory() || write(to_worker, &byte, 1) != 1)
		_exit(1);
	close(to_worker);
	do
		n = read(from_worker, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	dm_task_run(tasks->resume);
	dm_udev_wait(tasks->cookie);
	_exit(0);
}

static int start_guardian(struct guardian *guardian, struct tasks *tasks)
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
		guard(down[0], up[1], tasks);
	}
	close(down[0]);
	close(up[1]);
	guardian->pipe = down[1];
	/* The child's end closes if it could not get ready. */
	if (read(up[0], &byte, 1) != 1) {
		close(up[0]);
		return -EAGAIN;
	}
	close(up[0]);
	return 0;
}

static void dismiss_guardian(struct guardian *guardian)
{
	if (write(guardian->pipe, "", 1) != 1)
		warn_msg("the guardian process is gone");
	close(guardian->pipe);
	waitpid(guardian->pid, NULL, 0);
}

/* ---- the section itself ------------------------------------------------------ */

static int task_error(struct dm_task *dmt)
{
	int err = dm_task_get_errno(dmt);

	return err ? err : EIO;
}

static void pause_ms(unsigned int ms)
{
	struct timespec time = {
		.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L,
	};

	if (ms)
		nanosleep(&time, NULL);
}

/* Nothing here may touch a file, write a message or wait for udev. */
static void suspended_section(struct critical *crit, struct tasks *tasks,
			      int *suspend_error, int *resume_error)
{
	double start = now_ms();

	*suspend_error = *resume_error = crit->error = 0;
	if (!dm_task_run(tasks->suspend))
		*suspend_error = task_error(tasks->suspend);
	if (!*suspend_error && !dm_task_run(tasks->message))
		crit->error = task_error(tasks->message);
	if (!*suspend_error)
		pause_ms(crit->pause_ms);
	/* Even after a failure: it may have got half-way. */
	if (!dm_task_run(tasks->resume))
		*resume_error = task_error(tasks->resume);
	crit->ms = now_ms() - start;
}

static int report(const struct critical *crit, int suspend_error,
		  int resume_error)
{
	if (suspend_error)
		error_msg("%s: cannot suspend: %s", crit->name,
			  strerror(suspend_error));
	if (resume_error)
		error_msg("%s: cannot resume: %s; try 'dmsetup resume %s'",
			  crit->name, strerror(resume_error), crit->name);
	if (!suspend_error && !resume_error)
		return 0;
	bow_dm_print_log();
	return BOW_SYSTEM;
}

static int run_guarded(struct critical *crit, struct tasks *tasks)
{
	int r, suspend_error, resume_error;
	struct guardian guardian = { .pid = -1, .pipe = -1 };
	sigset_t old;

	signal(SIGPIPE, SIG_IGN);
	block_signals(&old);
	r = start_guardian(&guardian, tasks);
	if (r) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		return fail(BOW_SYSTEM, "cannot start a guardian process: %s",
			    strerror(-r));
	}
	suspended_section(crit, tasks, &suspend_error, &resume_error);
	/* If this resume failed the guardian's may not: let it try. */
	if (resume_error) {
		close(guardian.pipe);
		waitpid(guardian.pid, NULL, 0);
	} else {
		dismiss_guardian(&guardian);
		dm_udev_wait(tasks->cookie);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return report(crit, suspend_error, resume_error);
}

int critical_message(struct critical *crit)
{
	struct tasks tasks = { 0 };
	int r, status;

	/* An open control node and a checked version, before it matters. */
	dm_hold_control_dev(1);
	if (!make_tasks(&tasks, crit)) {
		destroy_tasks(&tasks);
		return fail(BOW_SYSTEM, "%s: cannot prepare for the suspend",
			    crit->name);
	}
	spare_from_oom_killer();
	r = lock_memory();
	if (r)
		status = fail(BOW_SYSTEM, "cannot lock memory: %s; this needs root",
			      strerror(-r));
	else
		status = run_guarded(crit, &tasks);
	munlockall();
	destroy_tasks(&tasks);
	return status;
}
