// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Do an operation again and again: first the first thing that our modules ask for
 * fails, then the second, and so on until there is none left to fail.
 *
 *	opfail bow RAW                  checkpoint, write, resume, reclaim, commit
 *	opfail blksnap RAW STORE TRACK  take, write to the origin and to an image, remove;
 *					the same of a persistent snapshot, and go on with
 *					it; with a tracking device
 *
 * Things asked for are allocations (failslab, fail_page_alloc) and requests
 * (fail_make_request) to RAW or, apart from these, to STORE or to TRACK. Which of them
 * are ours is said by the stack trace filters, which the caller has set.
 *
 * Each time the operation succeeds, or says no; no write fails for lack of memory,
 * nor one to an origin because of the store; the device shows what was written, and
 * can be removed; and then what is on it is the checkpoint, or what was committed as
 * a whole; an image shows what it should, or nothing; a log on the store leads back to
 * it, or there is none; what has changed counts as changed, or nothing is known. Without
 * a fault nothing says no.
 *
 * What an operation asks for is asked for by the worker, a thread of the kernel,
 * so it is counted by the kernel: when the interval is not 1. That count is never
 * forgotten and cannot be read, so this can run once in the life of a kernel.
 */
#define _GNU_SOURCE
#include "dm.h"

#include <linux/fs.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define SECTOR 512
#define WORDS (SECTOR / 8)
#define CHUNK 2048			/* sectors */
#define ANYTHING 0			/* free space, never written */
#define ONE_OF_OURS 255			/* an old generation or a new one */
#define MANY 1000000
#define OUTPUT "/run/opfail.out"	/* of the tool */

extern char **environ;

static const char *raw, *store, *track;
static char what[128] = "start";	/* operation, kind, number */
static uint64_t sectors;
static uint8_t *old, *older, *now;	/* generations, one a sector */
static uint64_t *buffer;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("opfail: %s: ", what);
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	exit(2);
}

static void must(int error, const char *step)
{
	if (error)
		die("%s: %s", step, strerror(error));
}

/* ---- contents -------------------------------------------------------------- */

static void stamp(uint64_t *words, uint64_t sector, uint8_t generation)
{
	uint64_t x = (sector << 8 | generation) * 0x9e3779b97f4a7c15ULL;
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		words[i] = x + i;
}

static bool says(const uint64_t *words, uint64_t sector, uint8_t generation)
{
	uint64_t want[WORDS];

	stamp(want, sector, generation);
	return !memcmp(words, want, SECTOR);
}

static bool is_right(const uint64_t *words, uint64_t sector, uint8_t generation)
{
	uint8_t g;

	if (generation == ANYTHING)
		return true;
	if (generation != ONE_OF_OURS)
		return says(words, sector, generation);
	for (g = 1; g < 8; g++)
		if (says(words, sector, g))
			return true;
	return false;
}

/* Contents are never seen through a cache. */
static int open_disk(const char *path)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		die("cannot open %s: %s", path, strerror(errno));
	return fd;
}

static int open_dm(const char *device)
{
	static const char node[] = "/dev/opfail";
	dev_t number;
	int fd;

	must(dm_number(device, &number), device);
	if (mknod(node, S_IFBLK | 0600, number))
		die("mknod: %s", strerror(errno));
	fd = open_disk(node);
	unlink(node);
	return fd;
}

/* The first sector that is not what it should be; or how many there are. */
static uint64_t first_wrong(int fd, const uint8_t *model)
{
	uint64_t at, i;

	for (at = 0; at < sectors; at += CHUNK) {
		if (pread(fd, buffer, CHUNK * SECTOR, at * SECTOR) != CHUNK * SECTOR)
			die("cannot read at sector %llu: %s", (unsigned long long)at,
			    strerror(errno));
		for (i = 0; i < CHUNK; i++)
			if (!is_right(buffer + i * WORDS, at + i, model[at + i]))
				return at + i;
	}
	return sectors;
}

static void must_show(int fd, const uint8_t *model, const char *whose)
{
	uint64_t at = first_wrong(fd, model);

	if (at < sectors)
		die("%s: sector %llu is not of generation %u", whose,
		    (unsigned long long)at, model[at]);
}

static void dm_must_show(const char *device, const uint8_t *model)
{
	int fd = open_dm(device);

	must_show(fd, model, device);
	close(fd);
}

static void fill(uint8_t generation)
{
	int fd = open_disk(raw);
	uint64_t at, i;

	for (at = 0; at < sectors; at += CHUNK) {
		for (i = 0; i < CHUNK; i++)
			stamp(buffer + i * WORDS, at + i, generation);
		if (pwrite(fd, buffer, CHUNK * SECTOR, at * SECTOR) != CHUNK * SECTOR)
			die("cannot fill: %s", strerror(errno));
	}
	close(fd);
	memset(now, generation, sectors);
	memset(old, generation, sectors);
}

struct place {
	uint64_t start, nr;
};

static const struct place places[] = {
	{ 2001, 3 }, { 1024, 8 },
	/* Of bow: hidden; then what is at its end, ours in free space, must move. */
	{ 0, 8 }, { 128, 16 },
	{ 8160, 8 }, { 8168, 8 },
	{ 1040, 64 },
};

#define NR_PLACES (sizeof(places) / sizeof(*places))
#define FEW 3				/* each block of an image is a story of its own */

static int write_one(int fd, uint8_t *model, const struct place *place,
		     uint8_t generation)
{
	uint64_t i, bytes = place->nr * SECTOR;
	int error = 0;

	for (i = 0; i < place->nr; i++)
		stamp(buffer + i * WORDS, place->start + i, generation);
	if (pwrite(fd, buffer, bytes, place->start * SECTOR) != (ssize_t)bytes)
		error = errno;
	for (i = 0; i < place->nr; i++)
		if (!error || model[place->start + i] != ANYTHING)
			model[place->start + i] = error ? ONE_OF_OURS : generation;
	return error;
}

/* All of them, whatever becomes of one. */
static int write_places(const char *device, uint8_t *model, unsigned int nr,
			uint8_t generation)
{
	int fd = open_dm(device), error = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		int e = write_one(fd, model, &places[i], generation);

		error = error ? error : e;
	}
	close(fd);
	return error;
}

/* ---- faults ---------------------------------------------------------------- */

/* What is made to fail, and what of: the requests of one device. */
struct kind {
	const char *name;
	unsigned int attributes;	/* which directory of them */
};

static const char * const directories[] = {
	"failslab", "fail_page_alloc", "fail_make_request",
};

static const struct kind kinds[] = {
	{ "failslab", 0 },
	{ "fail_page_alloc", 1 },
	{ "fail_make_request", 2 },
	{ "fail_make_request of the store", 2 },
	{ "fail_make_request of the tracking device", 2 },
};

enum { SLAB, PAGES, REQUESTS, STORE_REQUESTS, TRACK_REQUESTS, NR_KINDS };

static unsigned long counted[3];	/* by the kernel, of each directory */
static unsigned int failing;		/* which kind... */
static bool failed;			/* ...and has it happened? */

static void set(const char *path, unsigned long value)
{
	char text[24];
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int len = snprintf(text, sizeof(text), "%lu", value);

	if (fd < 0 || write(fd, text, len) != len)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

static void attribute(unsigned int kind, const char *name, unsigned long value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s",
		 directories[kinds[kind].attributes], name);
	set(path, value);
}

static bool has_failed(unsigned int kind)
{
	char path[96], text[24] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/times",
		 directories[kinds[kind].attributes]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		die("%s: %s", path, strerror(errno));
	close(fd);
	return !atoi(text);
}

static void requests_fail(const char *device, bool yes)
{
	char path[96];
	struct stat st;

	if (!device)
		return;
	if (stat(device, &st))
		die("%s: %s", device, strerror(errno));
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/make-it-fail",
		 major(st.st_rdev), minor(st.st_rdev));
	set(path, yes);
}

/* The @n-th from now on fails. */
static void arm(unsigned int kind, unsigned long n)
{
	attribute(kind, "interval", counted[kinds[kind].attributes] + n);
	attribute(kind, "times", 1);
	attribute(kind, "probability", 100);
}

/* With an interval of 1 nothing was counted. */
static bool disarm(unsigned int kind, unsigned long n)
{
	unsigned long *count = &counted[kinds[kind].attributes];

	attribute(kind, "probability", 0);
	if (!has_failed(kind))
		return false;
	if (*count + n > 1)
		*count += n;
	return true;
}

/* ---- operations ------------------------------------------------------------ */

/*
 * What is done before the faults, with them, and after, when the device is removed
 * too. @with says whether it was refused; @after judges.
 */
struct operation {
	const char *name;
	void (*before)(void);
	int (*with)(void);
	void (*after)(int error);
	bool never_refuses;		/* if it is not the device that fails */
	bool tracks;
};

static int once(const struct operation *op, unsigned int kind, unsigned long n)
{
	int error;

	op->before();
	arm(kind, n);
	error = op->with();
	failed = disarm(kind, n);
	op->after(error);
	if (error && !failed)
		die("no fault, and yet: %s", strerror(error));
	if (error && kind != REQUESTS && op->never_refuses)
		die("must not fail: %s", strerror(error));
	return error;
}

/*
 * The last one was not reached, so how far the kernel has counted is not known:
 * more of the same until it is.
 */
static void in_step(const struct operation *op, unsigned int kind, unsigned long n)
{
	int error;

	for (failed = false; !failed; op->after(error)) {
		op->before();
		attribute(kind, "probability", 100);
		error = op->with();
		failed = disarm(kind, n);
	}
}

static unsigned long each(const struct operation *op, unsigned int kind)
{
	unsigned long n = 0, refused = 0;

	failing = kind;
	requests_fail(raw, kind == REQUESTS);
	requests_fail(store, kind == STORE_REQUESTS);
	requests_fail(track, kind == TRACK_REQUESTS);
	do {
		snprintf(what, sizeof(what), "%s, %s number %lu", op->name, kinds[kind].name, ++n);
		refused += !!once(op, kind, n);
	} while (failed);
	printf("%s: %lu times %s, %lu times it said no\n", op->name, n - 1, kinds[kind].name,
	       refused);
	fflush(stdout);
	if (n > 1)
		in_step(op, kind, n);
	return n - 1;
}

/* Not one allocation succeeds. */
static void without_memory(const struct operation *op)
{
	unsigned int kind;
	int error;

	snprintf(what, sizeof(what), "%s, without any memory", op->name);
	failing = SLAB;
	failed = true;
	op->before();
	for (kind = 0; kind < REQUESTS; kind++) {
		attribute(kind, "interval", 1);
		attribute(kind, "times", MANY);
		attribute(kind, "probability", 100);
	}
	error = op->with();
	for (kind = 0; kind < REQUESTS; kind++)
		attribute(kind, "probability", 0);
	op->after(error);
	must(error, "refused");
	printf("%s: done without any memory\n", op->name);
	fflush(stdout);
}

/* ---- bow --------------------------------------------------------------------- */

#define FREE_START 4096

static char with_resume[128];		/* parameters of the second life */

static void old_device(void)
{
	uint64_t range[2] = { FREE_START * SECTOR, (sectors - FREE_START) * SECTOR };
	int fd;

	fill(1);
	must(dm_create("bow"), "create");
	must(dm_load("bow", sectors, "bow", raw), "load");
	must(dm_resume("bow"), "first resume");
	fd = open_dm("bow");
	if (ioctl(fd, BLKDISCARD, range))
		die("discard: %s", strerror(errno));
	close(fd);
	memset(old + FREE_START, ANYTHING, sectors - FREE_START);
	memset(now + FREE_START, ANYTHING, sectors - FREE_START);
}

static int write_some(void)
{
	return write_places("bow", now, NR_PLACES, 2);
}

static void suspended(void)
{
	old_device();
	must(dm_suspend("bow"), "suspend");
}

static void entered(void)
{
	suspended();
	must(dm_message("bow", "checkpoint"), "checkpoint");
	must(dm_resume("bow"), "resume");
}

static void written(void)
{
	entered();
	must(write_some(), "write");
}

static void left(void)
{
	written();
	must(dm_remove("bow"), "remove");
	must(dm_create("bow"), "create again");
	must(dm_load("bow", sectors, "bow", with_resume), "load again");
}

/* Its exit status. */
static int run_tool(char *const argv[])
{
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, OUTPUT,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	must(posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ), argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die("%s did not exit", argv[0]);
	return WEXITSTATUS(status);
}

static int restore(void)
{
	char *argv[] = { "bow", "restore", (char *)raw, NULL };

	return run_tool(argv);
}

static void cat(const char *path)
{
	char line[256];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		fputs(line, stdout);
	if (f)
		fclose(f);
}

/* After all that: back to the checkpoint. */
static void back(int want)
{
	int fd, r = restore();

	if (r < 0 || r > 1 || (want >= 0 && r != want)) {
		cat(OUTPUT);
		die("bow restore gave %d", r);
	}
	fd = open_disk(raw);
	must_show(fd, old, "after bow restore");
	close(fd);
}

static void leave(void)
{
	dm_must_show("bow", now);
	must(dm_remove("bow"), "remove");
}

static int with_checkpoint(void)
{
	return dm_message("bow", "checkpoint");
}

static void after_checkpoint(int error)
{
	must(dm_resume("bow"), "resume");
	leave();
	back(error ? -1 : 1);
}

static void after_write(int error)
{
	(void)error;
	leave();
	back(1);
}

static int with_resume_bow(void)
{
	return dm_resume("bow");
}

/* What failed once can be tried again. */
static void after_resume(int error)
{
	if (error)
		must(dm_resume("bow"), "resume once more");
	after_write(0);
}

static void before_reclaim(void)
{
	uint64_t range[2] = { FREE_START * SECTOR, (sectors - FREE_START) / 2 * SECTOR };
	int fd;

	left();
	must(dm_resume("bow"), "resume");
	fd = open_dm("bow");
	if (ioctl(fd, BLKDISCARD, range))
		die("discard: %s", strerror(errno));
	close(fd);
	must(dm_suspend("bow"), "suspend");
}

static int with_reclaim(void)
{
	return dm_message("bow", "reclaim");
}

static void after_reclaim(int error)
{
	(void)error;
	must(dm_resume("bow"), "resume after");
	after_write(0);
}

static int with_commit(void)
{
	return dm_message("bow", "commit");
}

/* The old as a whole or the new; the new if it was said. */
static void after_commit(int error)
{
	const uint8_t *model = now;
	int fd, r;

	leave();
	r = restore();
	if (r > 1) {
		cat(OUTPUT);
		die("bow restore gave %d", r);
	}
	fd = open_disk(raw);
	if (error && first_wrong(fd, now) < sectors)
		model = old;
	must_show(fd, model, "after a commit");
	close(fd);
}

static const struct operation bow_operations[] = {
	{ "checkpoint", suspended, with_checkpoint, after_checkpoint, false, false },
	{ "write", entered, write_some, after_write, true, false },
	{ "resume", left, with_resume_bow, after_resume, false, false },
	{ "reclaim", before_reclaim, with_reclaim, after_reclaim, false, false },
	{ "commit", written, with_commit, after_commit, false, false },
	{ NULL }
};

/* ---- blksnap ----------------------------------------------------------------- */

static char image_params[256];
static unsigned int lost;

static void load_image(const char *image, const char *params)
{
	must(dm_create(image), image);
	must(dm_load(image, sectors, "blksnap", params), image);
	must(dm_suspend("origin"), "suspend");
}

static void new_image(const char *image, uint8_t *model)
{
	load_image(image, image_params);
	memcpy(model, now, sectors);
}

static void load_origin(const char *params)
{
	must(dm_create("origin"), "create");
	must(dm_load("origin", sectors, "blksnap-origin", params), "load");
}

static void new_origin(const char *params)
{
	load_origin(params);
	must(dm_resume("origin"), "first resume");
}

static void old_origin(void)
{
	fill(1);
	new_origin(raw);
	new_image("image1", older);
	must(dm_resume("image1"), "first take");
	must(dm_resume("origin"), "resume");
	must(write_places("origin", now, FEW - 1, 2), "first write");
	new_image("image2", old);
}

static void held(void)
{
	old_origin();
	must(dm_resume("image2"), "second take");
	must(dm_resume("origin"), "resume");
}

static bool is_in_state(const char *image, const char *state)
{
	const char *status = dm_status(image);
	size_t len = strlen(state);

	return !strncmp(status, state, len) && status[len] == ' ';
}

/* All of it, as it was, or nothing at all. */
static void must_show_or_fail(const char *image, const uint8_t *model)
{
	uint64_t at;
	int fd;

	if (is_in_state(image, "active")) {
		dm_must_show(image, model);
		return;
	}
	lost++;
	fd = open_dm(image);
	for (at = 0; at < sectors; at += CHUNK)
		if (pread(fd, buffer, CHUNK * SECTOR, at * SECTOR) >= 0 || errno != EIO)
			die("%s can be read", image);
	close(fd);
}

static void dismantle(void)
{
	int fd;

	dm_must_show("origin", now);
	must(dm_remove("origin"), "remove the origin");
	fd = open_disk(raw);
	must_show(fd, now, "the device");
	close(fd);
}

static void after_origin_write(int error)
{
	(void)error;
	must_show_or_fail("image2", old);
	must_show_or_fail("image1", older);
	must(dm_remove("image1"), "remove an image");
	must(dm_remove("image2"), "remove an image");
	dismantle();
}

static int with_take(void)
{
	return dm_resume("image2");
}

static int with_origin_write(void)
{
	return write_places("origin", now, NR_PLACES, 3);
}

static void after_take(int error)
{
	if (error)
		must(dm_resume("image2"), "take once more");
	must(dm_resume("origin"), "resume");
	must(with_origin_write(), "write");
	after_origin_write(0);
}

static int with_image_write(void)
{
	return write_places("image1", older, FEW, 4);
}

/* Its own business: others notice nothing. */
static void after_image_write(int error)
{
	must(with_origin_write(), "write");
	after_origin_write(error);
}

static int with_removal(void)
{
	int error = dm_remove("image2");

	return error ? error : dm_remove("image1");
}

static void after_removal(int error)
{
	must(error, "remove images");
	dismantle();
}

/* ---- blksnap: a snapshot that is persistent ------------------------------------ */

static char persistent_params[256], go_on_params[288];

static bool log_there(void)
{
	int fd = open_disk(store);

	if (pread(fd, buffer, 4096, 0) != 4096)
		die("cannot read the store: %s", strerror(errno));
	close(fd);
	return !memcmp(buffer, "dm-cow", 6);
}

static void erase_log(void)
{
	int fd = open_disk(store);

	memset(buffer, 0, 4096);
	if (pwrite(fd, buffer, 4096, 0) != 4096)
		die("cannot erase the log: %s", strerror(errno));
	close(fd);
}

/* With neither device: the disk is this then, and there is no log any more. */
static void must_lead_to(const uint8_t *model)
{
	char *argv[] = { "blksnap", "restore", "--quiet", "--store", (char *)store, (char *)raw,
			 NULL };
	int fd, r = run_tool(argv);

	if (r < 0 || r > 1) {
		cat(OUTPUT);
		die("blksnap restore gave %d", r);
	}
	fd = open_disk(raw);
	must_show(fd, model, "after blksnap restore");
	close(fd);
	if (log_there())
		die("there is a log after blksnap restore");
}

/* The end of both: a log that is there is true, of one that was lost there is none. */
static void leave_persistent(void)
{
	bool active = is_in_state("image", "active"), unused = is_in_state("image", "new");

	if (is_in_state("image", "stale"))
		erase_log();
	if (!unused)
		must_show_or_fail("image", old);
	must(dm_remove("image"), "remove the image");
	dismantle();
	if (active && !log_there())
		die("there is no log");
	must_lead_to(active || (unused && log_there()) ? old : now);
}

static void before_persistent(void)
{
	fill(1);
	new_origin(raw);
	load_image("image", persistent_params);
	memcpy(old, now, sectors);
}

static void persistent(void)
{
	before_persistent();
	must(dm_resume("image"), "take");
	must(dm_resume("origin"), "resume");
}

static int with_resume_image(void)
{
	return dm_resume("image");
}

static void after_persistent_take(int error)
{
	if (error)
		must(dm_resume("image"), "take once more");
	must(dm_resume("origin"), "resume");
	must(with_origin_write(), "write");
	leave_persistent();
}

static void after_persistent_write(int error)
{
	(void)error;
	leave_persistent();
}

static int write_second(void)
{
	return write_places("origin", now, NR_PLACES, 2);
}

static void persistent_written(void)
{
	persistent();
	must(write_second(), "write");
}

/* The log is taken out and put back. */
static int with_suspend(void)
{
	int error = dm_suspend("origin");

	return error ? error : dm_resume("origin");
}

/* Nothing of that takes memory. */
static void after_persistent_suspend(int error)
{
	must(error, "suspend and resume");
	if (failing < REQUESTS && !is_in_state("image", "active"))
		die("the snapshot is %s", dm_status("image"));
	must(with_origin_write(), "write");
	leave_persistent();
}

/* As after a reboot. */
static void before_going_on(void)
{
	persistent_written();
	must(dm_remove("image"), "remove the image");
	must(dm_remove("origin"), "remove the origin");
	new_origin(raw);
	load_image("image", go_on_params);
}

/* That there was no memory is nothing that the log suffers from. */
static void after_going_on(int error)
{
	int again = error ? dm_resume("image") : 0;

	if (failing < REQUESTS)
		must(again, "go on once more");
	must(dm_resume("origin"), "resume");
	if (!again)
		must(with_origin_write(), "write");
	leave_persistent();
}

static int with_forget(void)
{
	return dm_message("origin", "forget");
}

static void after_forget(int error)
{
	if (is_in_state("image", "active"))
		die("it goes on: %s", strerror(error));
	must(with_origin_write(), "write");
	leave_persistent();
}

static int with_persistent_removal(void)
{
	int error = dm_remove("image");

	return error ? error : dm_remove("origin");
}

static void after_persistent_removal(int error)
{
	must(error, "remove");
	must_lead_to(old);
}

/* ---- blksnap: a tracking device ------------------------------------------------ */

#define UNIT 128			/* sectors that are tracked as one */
#define UNITS 64
#define MAP_START 4096			/* bytes; see dm-blksnap-map.h */

static char tracking_params[256];
static char generation[64];		/* of a snapshot... */
static unsigned int since;		/* ...and its number */
static unsigned int forgotten;

/* A word of the status, counted from 1. */
static void status_word(const char *device, unsigned int nr, char *word, size_t size)
{
	const char *status = dm_status(device);

	while (--nr && status) {
		status = strchr(status, ' ');
		status = status ? status + 1 : NULL;
	}
	if (!status)
		die("the status of %s is too short", device);
	snprintf(word, size, "%.*s", (int)strcspn(status, " "), status);
}

/* A snapshot comes and goes; 0 if it has no number. */
static unsigned int take_number(char *its_generation, size_t size)
{
	char number[16];

	load_image("image", image_params);
	must(dm_resume("image"), "take");
	must(dm_resume("origin"), "resume");
	status_word("image", 7, number, sizeof(number));
	status_word("origin", 10, its_generation, size);
	must(dm_remove("image"), "remove an image");
	return atoi(number);
}

static void tracked(void)
{
	fill(1);
	new_origin(tracking_params);
	since = take_number(generation, sizeof(generation));
	if (!since)
		die("nothing is tracked");
}

static void tracked_written(void)
{
	tracked();
	must(write_second(), "write");
}

static bool has_changed(unsigned int unit)
{
	unsigned int i;

	for (i = unit * UNIT; i < (unit + 1) * UNIT; i++)
		if (now[i] != 1)
			return true;
	return false;
}

/* What was written to counts as changed; and nothing else, if nothing has failed. */
static void must_count(unsigned int number)
{
	const uint16_t *value = (uint16_t *)((char *)buffer + MAP_START);
	char params[256];
	unsigned int unit;
	int fd;

	snprintf(params, sizeof(params), "%s %s %u", raw, generation, number);
	must(dm_create("map"), "create the map");
	must(dm_load("map", MAP_START / SECTOR + 1, "blksnap-map", params), "load the map");
	must(dm_resume("map"), "resume the map");
	fd = open_dm("map");
	if (pread(fd, buffer, MAP_START + SECTOR, 0) != MAP_START + SECTOR)
		die("cannot read the map: %s", strerror(errno));
	close(fd);
	must(dm_remove("map"), "remove the map");
	for (unit = 0; unit < UNITS; unit++)
		if (has_changed(unit) ? value[unit] <= since : !failed && value[unit] > since)
			die("unit %u has the number %u, and the snapshot before %u", unit,
			    value[unit], since);
}

/* In another life. Only who cannot write it down may have forgotten. */
static void must_know(void)
{
	char its_generation[sizeof(generation)];
	unsigned int number;

	new_origin(tracking_params);
	number = take_number(its_generation, sizeof(its_generation));
	if (!strcmp(generation, its_generation))
		must_count(number);
	else if (failed && failing == TRACK_REQUESTS)
		forgotten++;
	else
		die("another generation: %s after %s", its_generation, generation);
	dismantle();
}

static void after_tracked(int error)
{
	(void)error;
	dismantle();
	must_know();
}

/* What is written later is not overlooked. */
static void after_tracked_suspend(int error)
{
	must(error, "resume");
	must(with_origin_write(), "write");
	after_tracked(0);
}

static void before_tracked_resume(void)
{
	tracked_written();
	must(dm_remove("origin"), "remove");
	load_origin(tracking_params);
}

static int with_resume_origin(void)
{
	return dm_resume("origin");
}

static int with_save(void)
{
	return dm_message("origin", "save");
}

static int with_tracked_removal(void)
{
	return dm_remove("origin");
}

static void after_tracked_removal(int error)
{
	must(error, "remove");
	must_know();
}

static const struct operation blksnap_operations[] = {
	{ "take", old_origin, with_take, after_take, false, false },
	{ "write", held, with_origin_write, after_origin_write, true, false },
	{ "write to an image", held, with_image_write, after_image_write, false, false },
	{ "remove", held, with_removal, after_removal, true, false },

	{ "persistent take", before_persistent, with_resume_image, after_persistent_take,
	  false, false },
	{ "write, persistent", persistent, with_origin_write, after_persistent_write,
	  true, false },
	{ "suspend, persistent", persistent_written, with_suspend, after_persistent_suspend,
	  true, false },
	{ "go on", before_going_on, with_resume_image, after_going_on, false, false },
	{ "forget", persistent_written, with_forget, after_forget, false, false },
	{ "remove, persistent", persistent_written, with_persistent_removal,
	  after_persistent_removal, true, false },

	{ "write, tracked", tracked, write_second, after_tracked, true, true },
	{ "suspend, tracked", tracked_written, with_suspend, after_tracked_suspend, true, true },
	{ "resume, tracked", before_tracked_resume, with_resume_origin, after_tracked_suspend,
	  true, true },
	{ "save", tracked_written, with_save, after_tracked, false, true },
	{ "remove, tracked", tracked_written, with_tracked_removal, after_tracked_removal,
	  true, true },
	{ NULL }
};

/* ---- all of it ----------------------------------------------------------------- */

static uint8_t *model(void)
{
	uint8_t *m = calloc(1, sectors);

	if (!m)
		die("out of memory");
	return m;
}

static void prepare(void)
{
	int fd = open_disk(raw);

	sectors = lseek(fd, 0, SEEK_END) / SECTOR;
	close(fd);
	if (sectors != 2 * FREE_START || posix_memalign((void **)&buffer, 4096, CHUNK * SECTOR))
		die("%s has a wrong size", raw);
	old = model();
	older = model();
	now = model();
	snprintf(with_resume, sizeof(with_resume), "%s 1 resume", raw);
	snprintf(image_params, sizeof(image_params), "%s %s transient 4096", raw, store);
	snprintf(persistent_params, sizeof(persistent_params), "%s %s persistent 16384", raw,
		 store);
	snprintf(go_on_params, sizeof(go_on_params), "%s 1 resume", persistent_params);
	snprintf(tracking_params, sizeof(tracking_params), "%s 2 tracking %s", raw, track);
}

static unsigned int kinds_of(const struct operation *op)
{
	return op->tracks ? NR_KINDS : store ? TRACK_REQUESTS : STORE_REQUESTS;
}

int main(int argc, char **argv)
{
	const struct operation *op = bow_operations;
	unsigned long total = 0;
	unsigned int kind;

	if (argc == 5 && !strcmp(argv[1], "blksnap")) {
		op = blksnap_operations;
		store = argv[3];
		track = argv[4];
	} else if (argc != 3 || strcmp(argv[1], "bow")) {
		fputs("usage: opfail bow RAW\n       opfail blksnap RAW STORE TRACK\n",
		      stderr);
		return 2;
	}
	raw = argv[2];
	prepare();
	for (; op->name; op++) {
		for (kind = 0; kind < kinds_of(op); kind++)
			total += each(op, kind);
		if (op->never_refuses)
			without_memory(op);
	}
	printf("%lu faults", total);
	if (store)
		printf(", %u images lost, %u times nothing was known", lost, forgotten);
	printf("\n");
	return 0;
}
