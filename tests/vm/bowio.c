// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Block-level truth: write sectors whose contents say what they are, remember
 * what was written, and find out later whether the device still says the same.
 *
 * A model is a file of one 32-bit generation a sector. The contents of a sector
 * follow from its number and its generation, so that a model is a whole image,
 * and a copy of the file is a snapshot of it. All I/O is direct.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define WORDS (SECTOR / 8)
#define CHUNK (1 << 20)
#define MAGIC 0x6f6962776f62ULL
#define ZEROES 0U		/* generation of a sector of zeroes */
#define UNKNOWN 0xffffffffU	/* any stamp of this place will do */
#define MAX_RANGES 64
#define MAX_THREADS 64
#define MAX_COMPLAINTS 8

struct range {
	uint64_t start, len;	/* sectors */
};

static struct options {
	unsigned int threads, count, align;
	uint32_t generation, ignore;
	uint64_t seed, min, max;
	uint64_t block, stride;		/* sectors */
	struct range ranges[MAX_RANGES];
	unsigned int nr_ranges;
	const char *ack, *free_file;
	bool sequential, read_back, enospc_is_fine, eio_is_fine, eio_wrote, tag;
} opt = {
	.threads = 1, .count = 1, .align = SECTOR,
	.min = 4096, .max = 4096, .block = 8,
};

static struct device {
	int fd;
	uint64_t sectors;
	unsigned int logical;		/* bytes */
} dev;

static uint32_t *model;
static uint8_t *free_blocks;		/* one byte a block */

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("bowio: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static void *buffer(size_t bytes)
{
	void *buf;

	if (posix_memalign(&buf, 4096, bytes))
		die("out of memory");
	memset(buf, 0, bytes);
	return buf;
}

static void open_device(const char *path, int flags)
{
	struct stat st;
	int logical = SECTOR;

	dev.fd = open(path, flags | O_DIRECT | O_CLOEXEC);
	/* An image on a filesystem without direct I/O. */
	if (dev.fd < 0 && errno == EINVAL)
		dev.fd = open(path, flags | O_CLOEXEC);
	if (dev.fd < 0)
		die("%s: %s", path, strerror(errno));
	if (fstat(dev.fd, &st))
		die("%s: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		ioctl(dev.fd, BLKSSZGET, &logical);
	dev.logical = logical;
	dev.sectors = lseek(dev.fd, 0, SEEK_END) / SECTOR;
}

static void *map_file(const char *path, size_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *at;

	if (fd < 0 || ftruncate(fd, bytes))
		die("%s: %s", path, strerror(errno));
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);
	return at;
}

static void open_model(const char *path)
{
	model = map_file(path, dev.sectors * sizeof(*model));
}

/* ---- what a sector says ---------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return mix(*state);
}

static void stamp(uint64_t *words, uint64_t sector, uint32_t generation)
{
	uint64_t x = mix(sector << 32 ^ generation);
	unsigned int i;

	if (generation == ZEROES) {
		memset(words, 0, SECTOR);
		return;
	}
	words[0] = MAGIC;
	words[1] = sector;
	words[2] = generation;
	for (i = 3; i < WORDS; i++)
		words[i] = x += 0x9e3779b97f4a7c15ULL;
}

static bool says(const uint64_t *words, uint64_t sector, uint32_t generation)
{
	uint64_t want[WORDS];

	if (generation == UNKNOWN)
		generation = words[0] == MAGIC ? (uint32_t)words[2] : ZEROES;
	stamp(want, sector, generation);
	return !memcmp(words, want, SECTOR);
}

static void stamp_run(uint64_t *buf, uint64_t sector, uint64_t nr,
		      uint32_t generation)
{
	uint64_t i;

	for (i = 0; i < nr; i++)
		stamp(buf + i * WORDS, sector + i, generation);
}

/* ---- moving data ----------------------------------------------------------- */

static void read_run(int fd, void *buf, uint64_t sector, uint64_t nr)
{
	ssize_t got = pread(fd, buf, nr * SECTOR, sector * SECTOR);

	if (got != (ssize_t)(nr * SECTOR))
		die("read of %llu sectors at %llu: %s", (unsigned long long)nr,
		    (unsigned long long)sector, got < 0 ? strerror(errno) : "short");
}

static int try_write(int fd, const void *buf, uint64_t sector, uint64_t nr)
{
	ssize_t done = pwrite(fd, buf, nr * SECTOR, sector * SECTOR);

	if (done == (ssize_t)(nr * SECTOR))
		return 0;
	/* Some of it was written before space ran out. */
	return done < 0 ? errno : ENOSPC;
}

static void write_run(int fd, const void *buf, uint64_t sector, uint64_t nr)
{
	int error = try_write(fd, buf, sector, nr);

	if (error)
		die("write of %llu sectors at %llu: %s", (unsigned long long)nr,
		    (unsigned long long)sector, strerror(error));
}

static uint64_t chunk_at(uint64_t sector)
{
	uint64_t nr = CHUNK / SECTOR;

	return dev.sectors - sector < nr ? dev.sectors - sector : nr;
}

static void set_model(uint64_t sector, uint64_t nr, uint32_t generation)
{
	while (nr--)
		model[sector++] = generation;
}

static int cmd_fill(char **argv)
{
	uint64_t *buf = buffer(CHUNK), at, nr;

	if (!opt.generation)
		opt.generation = 1;
	open_device(argv[0], O_RDWR);
	open_model(argv[1]);
	for (at = 0; at < dev.sectors; at += nr) {
		nr = chunk_at(at);
		stamp_run(buf, at, nr, opt.generation);
		write_run(dev.fd, buf, at, nr);
		set_model(at, nr, opt.generation);
	}
	return 0;
}

/* The model of a device that is all of one generation. */
static int cmd_model(char **argv)
{
	open_device(argv[0], O_RDONLY);
	open_model(argv[1]);
	set_model(0, dev.sectors, opt.generation);
	return 0;
}

/* ---- comparing ------------------------------------------------------------- */

static bool excluded(uint64_t sector)
{
	unsigned int i;

	for (i = 0; i < opt.nr_ranges; i++)
		if (sector >= opt.ranges[i].start &&
		    sector - opt.ranges[i].start < opt.ranges[i].len)
			return true;
	return free_blocks && free_blocks[sector / opt.block];
}

static void open_free(void)
{
	if (opt.free_file)
		free_blocks = map_file(opt.free_file, dev.sectors / opt.block + 1);
}

static void complain(uint64_t sector, const uint64_t *words, const char *want)
{
	if (words[0] == MAGIC)
		fprintf(stderr, "sector %llu: sector %llu generation %llu, wanted %s\n",
			(unsigned long long)sector, (unsigned long long)words[1],
			(unsigned long long)words[2], want);
	else
		fprintf(stderr, "sector %llu: %016llx %016llx..., wanted %s\n",
			(unsigned long long)sector, (unsigned long long)words[0],
			(unsigned long long)words[1], want);
}

/* In free space nothing is known of what was not written, or not wholly. */
static bool ignored(uint32_t generation)
{
	return opt.ignore && (generation == opt.ignore || generation == UNKNOWN);
}

/* How many sectors of a chunk are not what the model says. */
static uint64_t verify_chunk(const uint64_t *buf, uint64_t at, uint64_t nr,
			     uint64_t bad)
{
	char want[32];
	uint64_t i;

	for (i = 0; i < nr; i++) {
		if (ignored(model[at + i]) || excluded(at + i) ||
		    says(buf + i * WORDS, at + i, model[at + i]))
			continue;
		snprintf(want, sizeof(want), "generation %u", model[at + i]);
		if (bad++ < MAX_COMPLAINTS)
			complain(at + i, buf + i * WORDS, want);
	}
	return bad;
}

static uint64_t compare_chunk(const uint64_t *buf, const uint64_t *other,
			      uint64_t at, uint64_t nr, uint64_t bad)
{
	uint64_t i;

	for (i = 0; i < nr; i++) {
		if (!memcmp(buf + i * WORDS, other + i * WORDS, SECTOR) ||
		    excluded(at + i))
			continue;
		if (bad++ < MAX_COMPLAINTS)
			complain(at + i, buf + i * WORDS, "what the image has");
	}
	return bad;
}

static int result(uint64_t bad)
{
	if (bad)
		fprintf(stderr, "%llu sectors differ\n", (unsigned long long)bad);
	return !!bad;
}

static int cmd_verify(char **argv)
{
	uint64_t *buf = buffer(CHUNK), at, nr, bad = 0;

	open_device(argv[0], O_RDONLY);
	open_model(argv[1]);
	open_free();
	for (at = 0; at < dev.sectors; at += nr) {
		nr = chunk_at(at);
		read_run(dev.fd, buf, at, nr);
		bad = verify_chunk(buf, at, nr, bad);
	}
	return result(bad);
}

/* Only the ranges that are given. */
static int cmd_check(char **argv)
{
	uint64_t *buf = buffer(CHUNK), bad = 0;
	unsigned int i, nr = opt.nr_ranges;

	open_device(argv[0], O_RDONLY);
	open_model(argv[1]);
	opt.nr_ranges = 0;
	for (i = 0; i < nr; i++) {
		struct range range = opt.ranges[i];

		if (range.len > CHUNK / SECTOR)
			die("range too long");
		read_run(dev.fd, buf, range.start, range.len);
		bad = verify_chunk(buf, range.start, range.len, bad);
	}
	return result(bad);
}

static int open_image(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static int cmd_save(char **argv)
{
	uint64_t *buf = buffer(CHUNK), at, nr;
	int fd = open_image(argv[1], O_WRONLY | O_CREAT);

	open_device(argv[0], O_RDONLY);
	for (at = 0; at < dev.sectors; at += nr) {
		nr = chunk_at(at);
		read_run(dev.fd, buf, at, nr);
		write_run(fd, buf, at, nr);
	}
	if (fsync(fd))
		die("%s: %s", argv[1], strerror(errno));
	return 0;
}

static int cmd_compare(char **argv)
{
	uint64_t *buf = buffer(CHUNK), *other = buffer(CHUNK), at, nr, bad = 0;
	int fd = open_image(argv[1], O_RDONLY);

	open_device(argv[0], O_RDONLY);
	open_free();
	for (at = 0; at < dev.sectors; at += nr) {
		nr = chunk_at(at);
		read_run(dev.fd, buf, at, nr);
		read_run(fd, other, at, nr);
		bad = compare_chunk(buf, other, at, nr, bad);
	}
	return result(bad);
}

/* ---- writing --------------------------------------------------------------- */

/*
 * Threads own stripes, so that the last writer of each sector is known. Stripes
 * end inside blocks: neighbours meet in them.
 */
struct writer {
	pthread_t thread;
	unsigned int index;
	uint64_t random;
	uint64_t next;			/* sequential: sectors from the start */
	uint64_t done, full;
	uint64_t *buf, *back;
};

static int ack_fd = -1;
static volatile sig_atomic_t enough;	/* SIGTERM: what has begun is ended, no more */

static struct range whole_range(void)
{
	return opt.nr_ranges ? opt.ranges[0] : (struct range) { 0, dev.sectors };
}

static void sequential_place(struct writer *w, uint64_t *sector, uint64_t *nr)
{
	struct range all = whole_range();
	uint64_t share = all.len / opt.threads / (opt.max / SECTOR) * (opt.max / SECTOR);
	uint64_t size = opt.max / SECTOR;
	uint64_t step = opt.stride ? opt.stride : size;

	if (share < size)
		die("range too short for so many threads");
	if (w->next + size > share)
		w->next = 0;
	*sector = all.start + w->index * share + w->next;
	*nr = size;
	w->next += step;
}

static uint64_t below(struct writer *w, uint64_t limit)
{
	return next_random(&w->random) % limit;
}

static uint64_t stripe_size(void)
{
	return (2 * opt.max + opt.align) / SECTOR;
}

static void random_place(struct writer *w, uint64_t *sector, uint64_t *nr)
{
	struct range all = opt.nr_ranges ? opt.ranges[below(w, opt.nr_ranges)] :
					   whole_range();
	uint64_t align = opt.align / SECTOR, max = opt.max / SECTOR;
	uint64_t stripe = stripe_size();
	uint64_t stripes = (all.len + stripe - 1) / stripe;
	uint64_t mine = (stripes + opt.threads - 1 - w->index) / opt.threads;
	uint64_t start, len;

	if (!mine)
		die("range too short for so many threads");
	start = (below(w, mine) * opt.threads + w->index) * stripe;
	len = all.len - start < stripe ? all.len - start : stripe;
	*nr = opt.min / SECTOR + below(w, (max - opt.min / SECTOR) / align + 1) * align;
	if (*nr > len)
		*nr = len;
	*sector = all.start + start + below(w, (len - *nr) / align + 1) * align;
}

static void place(struct writer *w, uint64_t *sector, uint64_t *nr)
{
	if (opt.sequential)
		sequential_place(w, sector, nr);
	else
		random_place(w, sector, nr);
}

static uint32_t generation_of(const struct writer *w, uint64_t i)
{
	return opt.tag ? opt.generation : opt.generation + w->index + i * opt.threads;
}

static void acknowledge(struct writer *w)
{
	uint64_t sector[WORDS] __attribute__((aligned(512))) = { w->done };

	memcpy(w->back, sector, SECTOR);
	if (ack_fd >= 0)
		write_run(ack_fd, w->back, w->index * 8, 8);
}

static void read_back(struct writer *w, uint64_t sector, uint64_t nr,
		      uint32_t generation)
{
	uint64_t i;

	read_run(dev.fd, w->back, sector, nr);
	for (i = 0; i < nr; i++)
		if (!says(w->back + i * WORDS, sector + i, generation))
			die("read back of sector %llu is wrong",
			    (unsigned long long)(sector + i));
}

static void write_one(struct writer *w, uint64_t i)
{
	uint32_t generation = generation_of(w, i);
	uint64_t sector, nr;
	int error;

	place(w, &sector, &nr);
	stamp_run(w->buf, sector, nr, generation);
	error = try_write(dev.fd, w->buf, sector, nr);
	if (error == ENOSPC && opt.enospc_is_fine) {
		w->full++;
		set_model(sector, nr, UNKNOWN);
		return;
	}
	if (error == EIO && opt.eio_is_fine) {
		w->full++;
		if (opt.eio_wrote)
			set_model(sector, nr, UNKNOWN);
		return;
	}
	if (error)
		die("write of %llu sectors at %llu: %s", (unsigned long long)nr,
		    (unsigned long long)sector, strerror(error));
	set_model(sector, nr, generation);
	w->done++;
	if (ack_fd >= 0)
		acknowledge(w);
	if (opt.read_back)
		read_back(w, sector, nr, generation);
}

static void *write_all(void *arg)
{
	struct writer *w = arg;
	uint64_t i;

	for (i = 0; i < opt.count && !enough; i++)
		write_one(w, i);
	return NULL;
}

static void stop(int signal)
{
	(void)signal;
	enough = 1;
}

static void init_writer(struct writer *w, unsigned int index)
{
	size_t bytes = opt.max < 4096 ? 4096 : opt.max;

	*w = (struct writer) {
		.index = index,
		.random = mix(opt.seed * MAX_THREADS + index + 1),
		.buf = buffer(bytes),
		.back = buffer(bytes),
	};
}

static int cmd_write(char **argv)
{
	static struct writer writers[MAX_THREADS];
	uint64_t done = 0, full = 0;
	unsigned int i;

	signal(SIGTERM, stop);
	open_device(argv[0], O_RDWR);
	open_model(argv[1]);
	if (opt.ack)
		ack_fd = open_image(opt.ack, O_WRONLY | O_DIRECT);
	for (i = 0; i < opt.threads; i++)
		init_writer(&writers[i], i);
	for (i = 0; i < opt.threads; i++)
		if (pthread_create(&writers[i].thread, NULL, write_all, &writers[i]))
			die("cannot start a thread");
	for (i = 0; i < opt.threads; i++) {
		pthread_join(writers[i].thread, NULL);
		done += writers[i].done;
		full += writers[i].full;
	}
	printf("%llu %llu\n", (unsigned long long)done, (unsigned long long)full);
	return 0;
}

/* What a `write` with the same options has done, by what it acknowledged. */
static void replay_writer(struct writer *w, uint64_t done)
{
	uint64_t i, sector, nr;

	for (i = 0; i < opt.count && i <= done; i++) {
		place(w, &sector, &nr);
		set_model(sector, nr, i < done ? generation_of(w, i) : UNKNOWN);
	}
}

static int cmd_replay(char **argv)
{
	uint64_t *buf = buffer(4096), total = 0;
	struct writer writer;
	unsigned int i;

	if (!opt.ack)
		die("replay needs --ack");
	open_device(argv[0], O_RDONLY);
	open_model(argv[1]);
	ack_fd = open_image(opt.ack, O_RDONLY);
	for (i = 0; i < opt.threads; i++) {
		read_run(ack_fd, buf, i * 8, 8);
		init_writer(&writer, i);
		replay_writer(&writer, buf[0]);
		total += buf[0];
	}
	printf("%llu\n", (unsigned long long)total);
	return 0;
}

/*
 * The device is what another one was while a `write` with the same options went on, the
 * model a copy of its model of that moment: each thread had written so much, and may
 * have been about to say so of one write more. Where the device has that, so has the
 * model from now on; that it has nothing else is for `verify`. Prints how many writes the
 * model knows of.
 */
static int cmd_settle(char **argv)
{
	uint64_t *buf = buffer(CHUNK), at, i, nr, stripe = stripe_size(), known = 0;
	uint32_t next[MAX_THREADS];
	unsigned int w;

	open_device(argv[0], O_RDONLY);
	open_model(argv[1]);
	for (w = 0; w < opt.threads; w++)
		next[w] = opt.generation + w;
	for (i = 0; i < dev.sectors; i++) {
		w = i / stripe % opt.threads;
		if (model[i] != UNKNOWN && model[i] >= next[w])
			next[w] = model[i] + opt.threads;
	}
	for (at = 0; at < dev.sectors; at += nr) {
		nr = chunk_at(at);
		read_run(dev.fd, buf, at, nr);
		for (i = 0; i < nr; i++) {
			w = (at + i) / stripe % opt.threads;
			if (says(buf + i * WORDS, at + i, next[w]))
				model[at + i] = next[w];
		}
	}
	for (w = 0; w < opt.threads; w++)
		known += (next[w] - opt.generation - w) / opt.threads;
	printf("%llu\n", (unsigned long long)known);
	return 0;
}

/* ---- discards --------------------------------------------------------------- */

static int range_ioctl(unsigned long request, uint64_t sector, uint64_t nr)
{
	uint64_t range[2] = { sector * SECTOR, nr * SECTOR };

	return ioctl(dev.fd, request, range) ? errno : 0;
}

static int cmd_discard(char **argv)
{
	unsigned int i;
	int error;

	open_device(argv[0], O_RDWR);
	for (i = 0; i < opt.nr_ranges; i++) {
		error = range_ioctl(BLKDISCARD, opt.ranges[i].start, opt.ranges[i].len);
		if (error)
			die("%s: discard: %s", argv[0], strerror(error));
	}
	return 0;
}

static int cmd_zeroout(char **argv)
{
	unsigned int i;
	int error;

	open_device(argv[0], O_RDWR);
	open_model(argv[1]);
	for (i = 0; i < opt.nr_ranges; i++) {
		error = range_ioctl(BLKZEROOUT, opt.ranges[i].start, opt.ranges[i].len);
		if (error)
			die("%s: zeroout: %s", argv[0], strerror(error));
		set_model(opt.ranges[i].start, opt.ranges[i].len, ZEROES);
	}
	return 0;
}

static void set_free_blocks(uint64_t first, uint64_t end, bool value)
{
	for (; first < end; first++)
		free_blocks[first] = value;
}

static void trim_one(struct writer *w, uint64_t i)
{
	uint64_t sector, nr, end;
	int error;

	place(w, &sector, &nr);
	end = sector + nr;
	if (below(w, 3)) {
		error = range_ioctl(BLKDISCARD, sector, nr);
		if (error)
			die("discard: %s", strerror(error));
		set_free_blocks((sector + opt.block - 1) / opt.block, end / opt.block,
				true);
		return;
	}
	stamp_run(w->buf, sector, nr, opt.generation + i);
	write_run(dev.fd, w->buf, sector, nr);
	set_model(sector, nr, opt.generation + i);
	set_free_blocks(sector / opt.block, (end - 1) / opt.block + 1, false);
}

/* Discards and writes over each other; prints how many blocks are free. */
static int cmd_trim(char **argv)
{
	uint64_t i, count = 0;
	struct writer writer;

	open_device(argv[0], O_RDWR);
	open_model(argv[1]);
	if (!opt.free_file)
		die("trim needs --free");
	open_free();
	opt.threads = 1;
	init_writer(&writer, 0);
	for (i = 0; i < opt.count; i++)
		trim_one(&writer, i);
	for (i = 0; i <= (dev.sectors - 1) / opt.block; i++)
		count += free_blocks[i];
	printf("%llu\n", (unsigned long long)count);
	return 0;
}

/* ---- the log ---------------------------------------------------------------- */

static uint32_t crc32c(const uint8_t *data, size_t bytes)
{
	uint32_t crc = ~0U;
	int bit;

	while (bytes--) {
		crc ^= *data++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return ~crc;
}

static uint32_t get32(const uint8_t *page, unsigned int at)
{
	return page[at] | page[at + 1] << 8 | page[at + 2] << 16 |
	       (uint32_t)page[at + 3] << 24;
}

static uint64_t get64(const uint8_t *page, unsigned int at)
{
	return get32(page, at) | (uint64_t)get32(page, at + 4) << 32;
}

static bool read_page(uint8_t *page, uint64_t sector)
{
	uint8_t header[SECTOR];
	uint32_t count;

	read_run(dev.fd, page, sector, 8);
	if (memcmp(page, "dm-cow\r\n", 8))
		return false;
	memcpy(header, page, SECTOR);
	memset(header + 12, 0, 4);
	count = get32(page, 76);
	return crc32c(header, SECTOR) == get32(page, 12) && count <= 149 &&
	       crc32c(page + SECTOR, count * 24) == get32(page, 80);
}

/* Where the log is, for a shell to eval; found by other code than the product's. */
static int cmd_header(char **argv)
{
	uint8_t *slot0 = buffer(4096), *slot1 = buffer(4096), *page = slot0;
	uint64_t place;
	unsigned int i;

	open_device(argv[0], O_RDONLY);
	read_run(dev.fd, slot0, 0, 8);
	if (memcmp(slot0, "dm-cow\r\n", 8))
		return 1;
	place = get64(slot0, 88);
	if (place && place + 8 <= dev.sectors && read_page(slot1, place) &&
	    (!read_page(slot0, 0) || get64(slot1, 48) > get64(slot0, 48)))
		page = slot1;
	printf("slot1=%llu state=%u generation=%llu sequence=%llu seal=%llu prev=%llu records=%u hidden=%u",
	       (unsigned long long)place, get32(page, 28),
	       (unsigned long long)get64(page, 48), (unsigned long long)get64(page, 56),
	       (unsigned long long)get64(page, 96), (unsigned long long)get64(page, 104),
	       get32(page, 76), get32(page, 84));
	for (i = 0; i < get32(page, 84); i++)
		printf(" source%u=%llu live%u=%llu", i,
		       (unsigned long long)get64(page, 128 + 16 * i), i,
		       (unsigned long long)get64(page, 136 + 16 * i));
	putchar('\n');
	return 0;
}

/* ---- arguments -------------------------------------------------------------- */

static const struct command {
	const char *name;
	int args;
	int (*run)(char **argv);
} commands[] = {
	{ "fill", 2, cmd_fill }, { "model", 2, cmd_model }, { "verify", 2, cmd_verify },
	{ "check", 2, cmd_check },
	{ "save", 2, cmd_save }, { "compare", 2, cmd_compare },
	{ "write", 2, cmd_write }, { "replay", 2, cmd_replay },
	{ "settle", 2, cmd_settle },
	{ "discard", 1, cmd_discard }, { "zeroout", 2, cmd_zeroout },
	{ "trim", 2, cmd_trim }, { "header", 1, cmd_header },
};

static void usage(void)
{
	fputs("usage: bowio COMMAND DEVICE [MODEL|IMAGE] [OPTION]...\n"
	      "  fill model write verify check replay settle zeroout trim: DEVICE MODEL\n"
	      "  save compare: DEVICE IMAGE; discard header: DEVICE\n"
	      "  -t threads  -n count each  -s bytes[:bytes] size  -a bytes alignment\n"
	      "  -r first+len  sectors to write, check, discard or zero; may be repeated\n"
	      "  -x first+len  the same, of verify and compare: not looked at\n"
	      "  -i generation  sectors of it, says the model, are not looked at\n"
	      "  -g generation  -G  the same one in every write  -S seed\n"
	      "  -q sequential  -k sectors from one to the next  -R read back  -E no space is no failure\n"
	      "  -e nor is an I/O error: nothing was written then; -U something may have been\n"
	      "  -A device to acknowledge writes on\n"
	      "  -F file of free blocks  -b sectors of a block\n", stderr);
	exit(2);
}

static void add_range(const char *arg)
{
	struct range *range = &opt.ranges[opt.nr_ranges++];
	char *end;

	if (opt.nr_ranges > MAX_RANGES)
		die("too many ranges");
	range->start = strtoull(arg, &end, 0);
	if (*end++ != '+')
		usage();
	range->len = strtoull(end, NULL, 0);
}

static void parse(int argc, char **argv)
{
	char *end;
	int c;

	while ((c = getopt(argc, argv, "t:n:s:a:r:x:g:GS:qk:REeUA:F:b:i:")) != -1) {
		switch (c) {
		case 't': opt.threads = atoi(optarg); break;
		case 'n': opt.count = atoi(optarg); break;
		case 's':
			opt.min = opt.max = strtoull(optarg, &end, 0);
			if (*end == ':')
				opt.max = strtoull(end + 1, NULL, 0);
			break;
		case 'a': opt.align = atoi(optarg); break;
		case 'r': case 'x': add_range(optarg); break;
		case 'g': opt.generation = atoi(optarg); break;
		case 'G': opt.tag = true; break;
		case 'i': opt.ignore = atoi(optarg); break;
		case 'S': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'k': opt.stride = strtoull(optarg, NULL, 0); /* fallthrough */
		case 'q': opt.sequential = true; break;
		case 'R': opt.read_back = true; break;
		case 'E': opt.enospc_is_fine = true; break;
		case 'U': opt.eio_wrote = true; /* fallthrough */
		case 'e': opt.eio_is_fine = true; break;
		case 'A': opt.ack = optarg; break;
		case 'F': opt.free_file = optarg; break;
		case 'b': opt.block = strtoull(optarg, NULL, 0); break;
		default: usage();
		}
	}
	if (!opt.threads || opt.threads > MAX_THREADS || opt.min < SECTOR ||
	    opt.align < SECTOR || opt.max < opt.min || !opt.block)
		usage();
}

int main(int argc, char **argv)
{
	const struct command *command = NULL;
	unsigned int i;

	if (argc < 2)
		usage();
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			command = &commands[i];
	if (!command)
		usage();
	parse(argc - 1, argv + 1);
	argv += 1 + optind;
	argc -= 1 + optind;
	if (argc != command->args)
		usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!opt.generation && command->run != cmd_fill)
		opt.generation = 2;
	return command->run(argv);
}
