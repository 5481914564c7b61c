// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Copies with many in flight: all of them arrive, and each error is told, with its
 * place. And what reads from a device remembers is never old; what is kept of them is
 * not read again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "copier.h"
#include "dev.h"

#define SECTORS 65536U

static int tests, failures;

static void ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failures += !good;
}

static char path[] = "/tmp/copier-XXXXXX";

static int new_file(void)
{
	int fd, i;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	for (i = 0; i < (int)SECTORS; i++) {
		u32 sector[128] = { (u32)i + 1, (u32)fd };

		if (pwrite(fd, sector, sizeof(sector), (off_t)i * 512) != sizeof(sector))
			abort();
	}
	return fd;
}

static bool sector_is(int fd, u64 sector, u32 value)
{
	u32 got = 0;

	return pread(fd, &got, sizeof(got), (off_t)sector * 512) == sizeof(got) && got == value;
}

/* The upper half, backwards, to the lower one: of all lengths. */
static void copies_arrive(struct copier *copier)
{
	int fd = new_file();
	u32 at, nr, good = 0;

	for (at = 0, nr = 1; at + nr <= SECTORS / 2; at += nr, nr = nr * 3 % 2039 + 1)
		if (copier_copy(copier, fd, SECTORS - at - nr, fd, at, nr))
			break;
	ok(!copier_wait(copier).err, "many copies end well");
	at = 0;
	for (nr = 1; at + nr <= SECTORS / 2; at += nr, nr = nr * 3 % 2039 + 1) {
		u32 i;

		for (i = 0; i < nr; i++)
			good += sector_is(fd, at + i, SECTORS - at - nr + i + 1);
	}
	ok(good == at, "all of them are there");
	unlink(path);
	close(fd);
}

static void errors_are_told(struct copier *copier)
{
	int fd = new_file(), closed = open(path, O_RDONLY);
	struct copier_error error;
	int i, r = 0;

	copier_copy(copier, fd, 100, closed, 200, 8);
	error = copier_wait(copier);
	ok(error.err == -EBADF && error.write && error.fd == closed && error.sector == 200,
	   "a write that fails");
	ok(!copier_wait(copier).err, "an error is told once");
	copier_copy(copier, fd, SECTORS - 4, fd, 0, 8);
	error = copier_wait(copier);
	ok(error.err == -EIO && !error.write && error.sector == SECTORS - 4,
	   "a read beyond the end");
	ok(sector_is(fd, 0, 1), "and nothing is written then");
	for (i = 0; i < 1000 && !r; i++)
		r = copier_copy(copier, fd, SECTORS + (u64)i, fd, (u64)i, 1);
	ok(r == -EIO, "who goes on is told as well");
	copier_wait(copier);
	unlink(path);
	close(closed);
	close(fd);
}

static u32 first_word(struct bow_dev *dev, u64 sector)
{
	u32 buf[128];

	if (cow_read(&dev->io, sector, buf, 1))
		abort();
	return buf[0];
}

static void reads_are_of_now(void)
{
	int fd = new_file();
	struct bow_dev dev;
	u32 buf[128] = { 4711 };
	u32 good = 0, i;

	if (bow_dev_open(&dev, path, true))
		abort();
	for (i = 8; i < 5000; i++)
		good += first_word(&dev, i) == i + 1;
	for (; i > 8; i--)
		good += first_word(&dev, i) == i + 1;
	ok(good == 2 * 4992, "one after the other, both ways");
	cow_write(&dev.io, 20, buf, 1);
	ok(first_word(&dev, 19) == 20 && first_word(&dev, 20) == 4711 &&
	   first_word(&dev, 21) == 22, "what was written meanwhile");
	for (i = 30; i < 40; i++)
		first_word(&dev, i);
	ok(!dev.io.ops->copy(&dev.io, 1000, 40, 2) && first_word(&dev, 40) == 1001 &&
	   first_word(&dev, 41) == 1002, "what was copied meanwhile");
	ok(dev.io.ops->copy(&dev.io, SECTORS, 50, 2) || cow_flush(&dev.io) == -EIO,
	   "a copy that fails, at the flush at the latest");
	ok(!cow_flush(&dev.io), "once");
	for (i = SECTORS - 300; i < SECTORS; i++)
		good += first_word(&dev, i) == i + 1;
	ok(good == 2 * 4992 + 300, "up to the end");
	bow_dev_close(&dev);
	unlink(path);
	close(fd);
}

/* Behind the back of who has it open: what is told of these sectors now was kept. */
static void change(int fd, u64 sector, u32 sectors)
{
	u32 buf[128] = { 815 };

	for (; sectors; sectors--, sector++)
		if (pwrite(fd, buf, sizeof(buf), (off_t)sector * 512) != sizeof(buf))
			abort();
}

static void read_all(struct bow_dev *dev, u64 sector, u32 sectors, u32 step)
{
	static u8 buf[4096 << 9];

	for (; sectors; sectors -= step, sector += step)
		if (cow_read(&dev->io, sector, buf, step))
			abort();
}

/* So many of the sectors at @at are what those from @from on were. */
static u32 arrived(struct bow_dev *dev, int fd, u64 from, u64 at, u32 sectors)
{
	u32 good = 0, i;

	if (dev->io.ops->copy(&dev->io, from, at, sectors) || cow_flush(&dev->io))
		abort();
	for (i = 0; i < sectors; i++)
		good += sector_is(fd, at + i, (u32)from + i + 1);
	return good;
}

static void kept_is_not_read_again(void)
{
	int fd = new_file();
	struct bow_dev dev;
	u32 buf[128] = { 4711 };

	if (bow_dev_open(&dev, path, true))
		abort();
	bow_dev_keep(&dev, 8192 << 9);
	read_all(&dev, 9000, 3000, 3000);	/* in two parts */
	read_all(&dev, 12000, 64, 8);		/* from a window */
	change(fd, 9000, 3064);
	ok(arrived(&dev, fd, 9000, 40000, 3064) == 3064, "copied from memory");
	read_all(&dev, 9000, 3064, 3064);
	ok(first_word(&dev, 9001) == 9002, "read from memory");
	cow_write(&dev.io, 9100, buf, 1);
	ok(arrived(&dev, fd, 9000, 50000, 3000) == 2999 && sector_is(fd, 50100, 4711),
	   "but not what was written meanwhile");
	ok(arrived(&dev, fd, 20000, 9200, 16) == 16 &&
	   arrived(&dev, fd, 9000, 30000, 3000) == 2983 && sector_is(fd, 30200, 20001),
	   "nor what was copied to");
	ok(first_word(&dev, 9100) == 4711 && first_word(&dev, 9200) == 20001 &&
	   first_word(&dev, 9216) == 9217, "in single reads too");
	read_all(&dev, 54000, 4000, 2000);
	change(fd, 54000, 4000);
	ok(arrived(&dev, fd, 54000, 0, 2000) == 2000 && arrived(&dev, fd, 56000, 2000, 2000) == 0,
	   "what does not go into memory is read again");
	bow_dev_close(&dev);
	unlink(path);
	close(fd);
}

int main(void)
{
	struct copier *copier = copier_new();

	if (!copier) {
		printf("1..0 # SKIP no io_uring here\n");
		return 0;
	}
	copies_arrive(copier);
	errors_are_told(copier);
	copier_free(copier);
	reads_are_of_now();
	kept_is_not_read_again();
	printf("1..%d\n", tests);
	return !!failures;
}
