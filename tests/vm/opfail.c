// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Do an operation again and again: first the first thing that our modules ask for
 * fails, then the second, and so on until there is none left to fail.
 *
 *	opfail bow RAW                  checkpoint, write, resume, reclaim, commit
 *	opfail blksnap RAW STORE        take, write to the origin and to an image, remove
 *
 * Things asked for are allocations (failslab, fail_page_alloc) and requests
 * (fail_make_request) to RAW or, apart from these, to STORE. Which of them are ours
 * is said by the stack trace filters, which the caller has set.
 *
 * Each time the operation succeeds, or says no; no write fails for lack of memory,
 * nor one to an origin because of the store; the device shows what was written, and
 * can be removed; and then what is on it is the checkpoint, or what was committed as
 * a whole; an image shows what it should, or nothing. Without a fault nothing says
 * no.
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

static const char *raw, *store;
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
};

enum { SLAB, PAGES, REQUESTS, STORE_REQUESTS, NR_KINDS };

static unsigned long counted[3];	/* by the kernel, of each directory */

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
};

static int once(const struct operation *op, unsigned int kind, unsigned long n,
		bool *failed)
{
	int error;

	op->before();
	arm(kind, n);
	error = op->with();
	*failed = disarm(kind, n);
	op->after(error);
	if (error && !*failed)
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
	bool failed = false;

	while (!failed) {
		op->before();
		attribute(kind, "probability", 100);
		op->after(op->with());
		failed = disarm(kind, n);
	}
}

static unsigned long each(const struct operation *op, unsigned int kind)
{
	unsigned long n = 0, refused = 0;
	bool failed;

	requests_fail(raw, kind == REQUESTS);
	requests_fail(store, kind == STORE_REQUESTS);
	do {
		snprintf(what, sizeof(what), "%s, %s number %lu", op->name, kinds[kind].name, ++n);
		refused += !!once(op, kind, n, &failed);
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

static int restore(void)
{
	char *argv[] = { "bow", "restore", (char *)raw, NULL };
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, OUTPUT,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	must(posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ), "bow");
	posix_spawn_file_actions_destroy(&actions);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die("bow restore did not exit");
	return WEXITSTATUS(status);
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
	{ "checkpoint", suspended, with_checkpoint, after_checkpoint, false },
	{ "write", entered, write_some, after_write, true },
	{ "resume", left, with_resume_bow, after_resume, false },
	{ "reclaim", before_reclaim, with_reclaim, after_reclaim, false },
	{ "commit", written, with_commit, after_commit, false },
	{ NULL }
};

/* ---- blksnap ----------------------------------------------------------------- */

static char image_params[256];
static unsigned int lost;

static void new_image(const char *image, uint8_t *model)
{
	must(dm_create(image), image);
	must(dm_load(image, sectors, "blksnap", image_params), image);
	must(dm_suspend("origin"), "suspend");
	memcpy(model, now, sectors);
}

static void old_origin(void)
{
	fill(1);
	must(dm_create("origin"), "create");
	must(dm_load("origin", sectors, "blksnap-origin", raw), "load");
	must(dm_resume("origin"), "first resume");
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

/* All of it, as it was, or nothing at all. */
static void must_show_or_fail(const char *image, const uint8_t *model)
{
	uint64_t at;
	int fd;

	if (!strncmp(dm_status(image), "active ", 7)) {
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

static const struct operation blksnap_operations[] = {
	{ "take", old_origin, with_take, after_take, false },
	{ "write", held, with_origin_write, after_origin_write, true },
	{ "write to an image", held, with_image_write, after_image_write, false },
	{ "remove", held, with_removal, after_removal, true },
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
}

int main(int argc, char **argv)
{
	const struct operation *op = bow_operations;
	unsigned long total = 0;
	unsigned int kind;

	if (argc == 4 && !strcmp(argv[1], "blksnap")) {
		op = blksnap_operations;
		store = argv[3];
	} else if (argc != 3 || strcmp(argv[1], "bow")) {
		fputs("usage: opfail bow RAW\n       opfail blksnap RAW STORE\n", stderr);
		return 2;
	}
	raw = argv[2];
	prepare();
	for (; op->name; op++) {
		for (kind = 0; kind < (store ? NR_KINDS : STORE_REQUESTS); kind++)
			total += each(op, kind);
		if (op->never_refuses)
			without_memory(op);
	}
	printf("%lu faults", total);
	printf(store ? ", %u images lost\n" : "\n", lost);
	return 0;
}
