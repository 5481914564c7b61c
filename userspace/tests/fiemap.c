// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whether a file can be a store, asked of filesystems that answer what real ones seldom
 * do: FIEMAP, statx() and the attributes are ours.
 */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "snap.h"

#define PAGE 4096ULL
#define DEVICE (1ULL << 30)	/* bytes */

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_statx(int dir, const char *path, int flags, unsigned int mask, struct statx *stx);

static int tests, failures;

/* ---- a filesystem ------------------------------------------------------------- */

static struct fiemap_extent *extents;
static unsigned int nr_extents, at_a_time;
static u64 file_attributes;
static u32 xflags;
static int fiemap_errno;

static int answer(struct fiemap *map)
{
	unsigned int i, nr = min(at_a_time, map->fm_extent_count);

	if (fiemap_errno) {
		errno = fiemap_errno;
		return -1;
	}
	map->fm_mapped_extents = 0;
	for (i = 0; i < nr_extents && map->fm_mapped_extents < nr; i++)
		if (extents[i].fe_logical + extents[i].fe_length > map->fm_start)
			map->fm_extents[map->fm_mapped_extents++] = extents[i];
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	(void)fd;
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == FS_IOC_FIEMAP)
		return answer(arg);
	if (request == FS_IOC_FSGETXATTR) {
		((struct fsxattr *)arg)->fsx_xflags = xflags;
		return 0;
	}
	abort();
}

int __wrap_statx(int dir, const char *path, int flags, unsigned int mask, struct statx *stx)
{
	(void)dir;
	(void)path;
	(void)flags;
	(void)mask;
	memset(stx, 0, sizeof(*stx));
	stx->stx_attributes = file_attributes;
	return 0;
}

u64 snap_device_sectors(const char *number)
{
	(void)number;
	return DEVICE >> 9;
}

/* ---- what is said of a file ----------------------------------------------------- */

static void ok(bool is, const char *what)
{
	printf("%sok %d - %s\n", is ? "" : "not ", ++tests, what);
	failures += !is;
}

static int file;
static struct snap_map map;
static char said[512];

static int look(u64 size)
{
	int saved = dup(2), into = memfd_create("said", MFD_CLOEXEC), status;
	ssize_t len;

	if (saved < 0 || into < 0 || ftruncate(file, (off_t)size))
		exit(99);
	fflush(stderr);
	dup2(into, 2);
	map.table = NULL;
	status = snap_file_map("a file", file, &map);
	fflush(stderr);
	dup2(saved, 2);
	len = pread(into, said, sizeof(said) - 1, 0);
	said[max(len, (ssize_t)0)] = '\0';
	close(into);
	close(saved);
	return status;
}

static void refused(u64 size, const char *why, const char *what)
{
	ok(look(size) == BOW_REFUSED && strstr(said, why), what);
	if (!strstr(said, why))
		printf("# %s", said);
}

/* In order, the first of @nr, each of so many pages. */
#define FILE_PAGES 12
static struct fiemap_extent three[3];

static void begin(void)
{
	three[0] = (struct fiemap_extent) {
		.fe_logical = 0, .fe_physical = 100 * PAGE, .fe_length = 5 * PAGE,
		.fe_flags = FIEMAP_EXTENT_UNWRITTEN,
	};
	three[1] = (struct fiemap_extent) {
		.fe_logical = 5 * PAGE, .fe_physical = 105 * PAGE, .fe_length = 4 * PAGE,
		.fe_flags = FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_MERGED,
	};
	three[2] = (struct fiemap_extent) {
		.fe_logical = 9 * PAGE, .fe_physical = 20 * PAGE, .fe_length = 3 * PAGE,
		.fe_flags = FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_LAST,
	};
	extents = three;
	nr_extents = 3;
	at_a_time = 128;
	file_attributes = 0;
	xflags = 0;
	fiemap_errno = 0;
}

static u32 crc_of(const u64 *pairs, unsigned int nr)
{
	u32 crc = ~0U;
	unsigned int i;

	for (i = 0; i < 2 * nr; i++) {
		__le64 number = cpu_to_le64(pairs[i]);

		crc = crc32c(crc, &number, sizeof(number));
	}
	return crc;
}

/* ---- the tests -------------------------------------------------------------------- */

static void good_ones(void)
{
	static const u64 runs[] = { 800, 72, 160, 24 };
	static const u64 cut[] = { 808, 64, 160, 24 };

	begin();
	ok(!look(FILE_PAGES * PAGE) && map.nr == 2 && map.sectors == 96 && map.first == 800 &&
	   map.first_sectors == 72 && map.crc == crc_of(runs, 2) && !map.written,
	   "three extents, two of which touch");
	at_a_time = 1;
	ok(!look(FILE_PAGES * PAGE) && map.crc == crc_of(runs, 2), "told one by one");
	three[2].fe_length = 30 * PAGE;
	ok(!look(FILE_PAGES * PAGE) && map.crc == crc_of(runs, 2), "allocated behind its end");
	three[1].fe_flags &= ~FIEMAP_EXTENT_UNWRITTEN;
	ok(!look(FILE_PAGES * PAGE) && map.written, "written to");

	/* A run that begins and ends within pages. */
	begin();
	three[0].fe_physical += 1024;
	three[1].fe_physical += 1024;
	ok(!look(FILE_PAGES * PAGE) && map.crc == crc_of(cut, 2), "cut to whole pages");
}

/* One flag or more, in the first, the second, the last extent. */
static bool each_place_refused(u32 flag, const char *why)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		begin();
		three[i].fe_flags |= flag;
		if (look(FILE_PAGES * PAGE) != BOW_REFUSED || !strstr(said, why))
			return false;
	}
	return true;
}

static void flags(void)
{
	static const struct {
		u32 flags;
		const char *why, *name;
	} bad[] = {
		{ FIEMAP_EXTENT_SHARED, "shares blocks", "SHARED" },
		{ FIEMAP_EXTENT_UNKNOWN, "unknown", "UNKNOWN" },
		{ FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_UNKNOWN, "not allocated yet", "DELALLOC" },
		{ FIEMAP_EXTENT_ENCODED, "compressed", "ENCODED" },
		{ FIEMAP_EXTENT_DATA_ENCRYPTED | FIEMAP_EXTENT_ENCODED, "is encrypted",
		  "DATA_ENCRYPTED" },
		{ FIEMAP_EXTENT_NOT_ALIGNED, "parts of blocks", "NOT_ALIGNED" },
		{ FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_NOT_ALIGNED, "within metadata",
		  "DATA_INLINE" },
		{ FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_NOT_ALIGNED, "with other files",
		  "DATA_TAIL" },
	};
	u32 known = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_MERGED, flag;
	unsigned int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ok(each_place_refused(bad[i].flags, bad[i].why), bad[i].name);
	for (flag = 1; flag; flag <<= 1)
		if (!(flag & known))
			nr += each_place_refused(flag, "");
	ok(nr == 29, "every other flag, those of times to come too");
}

static void shapes(void)
{
	begin();
	nr_extents = 0;
	refused(FILE_PAGES * PAGE, "holes", "nothing is mapped");
	begin();
	extents++;
	nr_extents--;
	refused(FILE_PAGES * PAGE, "holes", "a hole at the start");
	begin();
	three[1].fe_length -= PAGE;
	refused(FILE_PAGES * PAGE, "holes", "a hole in the middle");
	begin();
	refused((FILE_PAGES + 1) * PAGE, "holes", "a hole at the end");
	begin();
	three[2].fe_flags &= ~FIEMAP_EXTENT_LAST;
	refused((FILE_PAGES + 1) * PAGE, "holes", "the same, unsaid");
	begin();
	three[1].fe_logical -= PAGE;
	refused(FILE_PAGES * PAGE, "holes", "extents that overlap");
	begin();
	three[2].fe_physical = DEVICE - 2 * PAGE;
	refused(FILE_PAGES * PAGE, "first device", "beyond the device");
	begin();
	three[2].fe_physical = DEVICE - 3 * PAGE;
	ok(!look(FILE_PAGES * PAGE), "up to its end");
	begin();
	three[2].fe_physical = -PAGE;
	refused(FILE_PAGES * PAGE, "first device", "beyond all numbers");
	begin();
	refused(0, "not a single page", "an empty file");
	begin();
	fiemap_errno = EOPNOTSUPP;
	ok(look(FILE_PAGES * PAGE) == BOW_SYSTEM, "a filesystem without FIEMAP");
}

static void pieces(unsigned int nr)
{
	struct fiemap_extent *many = calloc(nr, sizeof(*many));
	unsigned int i;

	if (!many)
		exit(99);
	for (i = 0; i < nr; i++)
		many[i] = (struct fiemap_extent) {
			.fe_logical = i * PAGE, .fe_physical = 2 * i * PAGE, .fe_length = PAGE,
			.fe_flags = FIEMAP_EXTENT_UNWRITTEN,
		};
	begin();
	extents = many;
	nr_extents = nr;
	if (nr <= SNAP_MAX_EXTENTS)
		ok(!look(nr * PAGE) && map.nr == nr && (map.grain & -map.grain) == 8,
		   "many pieces");
	else
		refused(nr * PAGE, "fragmented", "too many pieces");
	free(many);
}

static void kinds(void)
{
	begin();
	file_attributes = STATX_ATTR_ENCRYPTED;
	refused(FILE_PAGES * PAGE, "is encrypted", "an encrypted file");
	file_attributes = STATX_ATTR_COMPRESSED;
	refused(FILE_PAGES * PAGE, "is compressed", "a compressed file");
	file_attributes = STATX_ATTR_VERITY;
	refused(FILE_PAGES * PAGE, "fs-verity", "a sealed file");
	file_attributes = 0;
	xflags = FS_XFLAG_REALTIME;
	refused(FILE_PAGES * PAGE, "realtime", "a file on the realtime device");
}

int main(void)
{
	file = memfd_create("file", MFD_CLOEXEC);
	if (file < 0)
		return 99;
	alarm(60);	/* one that is never satisfied asks for ever */
	good_ones();
	flags();
	shapes();
	pieces(1000);
	pieces(SNAP_MAX_EXTENTS + 1);
	kinds();
	printf("1..%d\n", tests);
	return failures > 0;
}
