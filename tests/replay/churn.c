// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In the guest: what applications do to a filesystem, from several threads.
 *
 *	churn fill DIR SEED            the files to begin with
 *	churn work DIR SEED THREADS N  N operations by each thread
 *	churn grow DIR SEED BYTES      new data, made sure of piece by piece
 *	churn poke DIR SEED N          N writes into the file `grown`, anywhere
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 40
#define MAX_THREADS 4
#define SMALL 60
#define BLOCK 4096
#define MAX_PIECE (128 * 1024)

struct worker {
	pthread_t thread;
	uint64_t rng;
	unsigned int id, count;
	uint8_t *buf;
};

static uint64_t rnd(struct worker *w, uint64_t n)
{
	uint64_t z = w->rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (z ^ z >> 31) % n;
}

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "churn: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void noise(struct worker *w, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += 8) {
		uint64_t word = rnd(w, ~0ULL);

		memcpy(w->buf + i, &word, 8);
	}
}

static void init(struct worker *w, uint64_t seed, unsigned int id)
{
	w->rng = seed * 1000 + id;
	w->id = id;
	check(!posix_memalign((void **)&w->buf, BLOCK, MAX_PIECE), "memory");
}

static int open_file(const char *name, unsigned int nr, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "%s%u", name, nr);
	fd = open(path, flags, 0644);
	check(fd >= 0, path);
	return fd;
}

/*
 * A file for the next write. Each thread has its own, and of these some for O_DSYNC
 * alone. If two writes to one place were under way at a time, or one of them with
 * FUA and the other not yet flushed, the recording would not tell which came last.
 */
static int choose_file(struct worker *w, int flags)
{
	unsigned int own = 2 * w->id + !!(flags & O_DSYNC);
	unsigned int step = 2 * MAX_THREADS;

	return open_file("f", own + step * (unsigned int)rnd(w, FILES / step),
			 O_WRONLY | flags);
}

/* Old blocks. */
static void overwrite(struct worker *w, int flags, size_t most)
{
	int fd = choose_file(w, O_DIRECT | flags);
	struct stat st;
	size_t len = BLOCK * (1 + rnd(w, most / BLOCK));
	off_t at;

	check(!fstat(fd, &st), "fstat");
	if ((off_t)len > st.st_size / BLOCK * BLOCK)
		len = BLOCK;
	at = (off_t)rnd(w, (uint64_t)(st.st_size - (off_t)len) / BLOCK + 1) * BLOCK;
	noise(w, len);
	check(pwrite(fd, w->buf, len, at) == (ssize_t)len, "overwrite");
	close(fd);
}

/* Any bytes, through the page cache. */
static void piece(struct worker *w)
{
	int fd = choose_file(w, 0);
	size_t len = 8 * (1 + rnd(w, MAX_PIECE / 32));
	struct stat st;

	check(!fstat(fd, &st), "fstat");
	if ((off_t)len > st.st_size)
		len = (size_t)st.st_size / 8 * 8;
	noise(w, len);
	check(pwrite(fd, w->buf, len, (off_t)rnd(w, (uint64_t)st.st_size - len + 1)) ==
	      (ssize_t)len, "piece");
	if (rnd(w, 2))
		check(!fsync(fd), "fsync");
	close(fd);
}

/* A small file, written anew, perhaps under another's name. */
static void small(struct worker *w)
{
	size_t len = 8 * (1 + rnd(w, 1000));
	char from[32], to[32];
	int fd;

	snprintf(from, sizeof(from), "new%u", w->id);
	snprintf(to, sizeof(to), "d%u", (unsigned int)rnd(w, SMALL));
	fd = open(from, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	check(fd >= 0, from);
	noise(w, len);
	check(write(fd, w->buf, len) == (ssize_t)len, "write");
	if (!rnd(w, 4))
		check(!fsync(fd), "fsync");
	close(fd);
	if (rnd(w, 4))
		check(!rename(from, to), "rename");
	else
		unlink(to);
}

static void operation(struct worker *w)
{
	unsigned int what = (unsigned int)rnd(w, 100);

	if (what < 35)
		overwrite(w, O_DSYNC, BLOCK);
	else if (what < 55)
		overwrite(w, 0, 16 * BLOCK);
	else if (what < 75)
		piece(w);
	else if (what < 97)
		small(w);
	else
		sync();
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (; w->count; w->count--)
		operation(w);
	return NULL;
}

static void work_all(uint64_t seed, unsigned int threads, unsigned int count)
{
	struct worker *w = calloc(threads, sizeof(*w));
	unsigned int i;

	check(w && threads <= MAX_THREADS, "threads");
	for (i = 0; i < threads; i++) {
		init(&w[i], seed, i);
		w[i].count = count;
		check(!pthread_create(&w[i].thread, NULL, work, &w[i]), "thread");
	}
	for (i = 0; i < threads; i++)
		pthread_join(w[i].thread, NULL);
}

static void new_file(struct worker *w, const char *name, unsigned int nr, size_t len)
{
	int fd = open_file(name, nr, O_WRONLY | O_CREAT | O_EXCL);

	while (len) {
		size_t part = len < MAX_PIECE ? len : MAX_PIECE;

		noise(w, MAX_PIECE);
		check(write(fd, w->buf, part) == (ssize_t)part, name);
		len -= part;
	}
	close(fd);
}

static void fill(uint64_t seed)
{
	struct worker w;
	unsigned int i;

	init(&w, seed, 99);
	for (i = 0; i < FILES; i++)
		new_file(&w, "f", i, 1024 * (40 + i * i / 4));
	for (i = 0; i < SMALL; i++)
		new_file(&w, "d", i, 500 + rnd(&w, 3000));
	sync();
}

static void grow(uint64_t seed, size_t bytes)
{
	struct worker w;
	int fd = open("grown", O_WRONLY | O_CREAT | O_APPEND, 0644);

	check(fd >= 0, "grown");
	init(&w, seed, 98);
	while (bytes >= BLOCK) {
		size_t part = BLOCK * (1 + rnd(&w, MAX_PIECE / BLOCK));

		if (part > bytes)
			part = bytes / BLOCK * BLOCK;
		noise(&w, part);
		check(write(fd, w.buf, part) == (ssize_t)part, "grow");
		check(!fsync(fd), "fsync");
		bytes -= part;
	}
	close(fd);
}

static void poke(uint64_t seed, unsigned int count)
{
	struct worker w;
	int fd = open("grown", O_WRONLY);
	struct stat st;
	size_t len;

	check(fd >= 0 && !fstat(fd, &st), "grown");
	init(&w, seed, 97);
	for (; count; count--) {
		len = BLOCK * (1 + rnd(&w, 4));
		noise(&w, len);
		check(pwrite(fd, w.buf, len, (off_t)rnd(&w, (uint64_t)st.st_size / BLOCK - 4) *
			     BLOCK) == (ssize_t)len, "poke");
		if (count % 4 == 0)
			check(!fsync(fd), "fsync");
	}
	check(!fsync(fd), "fsync");
	close(fd);
}

int main(int argc, char **argv)
{
	uint64_t seed;

	check(argc >= 4, "arguments");
	check(!chdir(argv[2]), argv[2]);
	seed = strtoull(argv[3], NULL, 0);
	if (!strcmp(argv[1], "fill"))
		fill(seed);
	else if (!strcmp(argv[1], "work") && argc == 6)
		work_all(seed, (unsigned int)atoi(argv[4]), (unsigned int)atoi(argv[5]));
	else if (!strcmp(argv[1], "grow") && argc == 5)
		grow(seed, strtoull(argv[4], NULL, 0));
	else if (!strcmp(argv[1], "poke") && argc == 5)
		poke(seed, (unsigned int)atoi(argv[4]));
	else
		return 2;
	return 0;
}
