// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reader of increments, with what is no increment. Built with sanitizers.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "increment.h"

#define SIZE (8ULL << 20)	/* of the device */
#define ROUNDS 5000

static int tests, failures;
static struct increment_info info = {
	.generation = "a generation is", .since = 4, .number = 7, .size = SIZE,
	.time = 1700000000, .block_bytes = 65536, .origin = "vg-home",
};

static u8 *good, *bad;
static size_t length;

static void ok(bool is, const char *what)
{
	printf("%sok %d - %s\n", is ? "" : "not ", ++tests, what);
	failures += !is;
}

static int in_memory(const u8 *data, size_t len)
{
	int fd = memfd_create("increment", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		exit(99);
	return fd;
}

/* To its end; everything that is handed out lies within the device, in order. */
static int read_fd(int fd, u64 *chunks)
{
	struct increment_reader r;
	int status = increment_open(&r, fd, "increment");
	u64 end = 0;

	*chunks = 0;
	while (!status) {
		status = increment_next(&r);
		if (status || r.kind == INCREMENT_END)
			break;
		if (r.offset < end || r.length > SIZE || r.offset > SIZE - r.length || !r.length ||
		    (r.offset | r.length) & 511)
			abort();
		/* All of it can be read: ASan would tell. */
		if (r.kind == INCREMENT_DATA)
			*chunks += cow_crc(r.data, r.length) & 0;
		end = r.offset + r.length;
		++*chunks;
	}
	increment_close(&r);
	return status;
}

static int read_bytes(const u8 *data, size_t len)
{
	int fd = in_memory(data, len), status;
	u64 chunks;

	status = read_fd(fd, &chunks);
	close(fd);
	return status;
}

static int read_bad(void)
{
	return read_bytes(bad, length);
}

static void make(void)
{
	static const u8 data[4096] = "contents";
	int fd = memfd_create("increment", MFD_CLOEXEC);
	struct increment_writer w = { .fd = fd, .path = "increment" };
	u64 chunks;

	if (increment_begin(&w, &info) || increment_put(&w, 4096, data, 512) ||
	    increment_put(&w, 65536, NULL, 3 << 20) ||
	    increment_put(&w, SIZE - 1024, data, 1024) || increment_end(&w))
		exit(99);
	length = w.sums.bytes;
	ok(lseek(fd, 0, SEEK_END) == (off_t)length, "its size is known");
	ok(!read_fd(fd, &chunks) && chunks == 3, "an increment is read");
	good = malloc(length);
	bad = malloc(length);
	if (!good || !bad || pread(fd, good, length, 0) != (ssize_t)length)
		exit(99);
	close(fd);
}

/* ---- damage that the checksums tell of ------------------------------------------ */

static void every_byte(void)
{
	size_t i, accepted = 0;

	for (i = 0; i < length; i++) {
		memcpy(bad, good, length);
		bad[i] ^= (u8)(1 << i % 8);
		accepted += read_bad() != BOW_DAMAGED;
	}
	ok(!accepted, "no byte can be another");
}

static void every_length(void)
{
	u8 *longer = calloc(1, length + 1);
	size_t i, accepted = 0;

	for (i = 0; i < length; i++)
		accepted += read_bytes(good, i) != BOW_DAMAGED;
	ok(!accepted, "no byte can be missing at the end");
	memcpy(longer, good, length);
	ok(read_bytes(longer, length + 1) == BOW_DAMAGED, "nor can one follow");
	free(longer);
}

/* ---- damage with the right checksums --------------------------------------------- */

static const size_t chunk_at[] = { 512, 512 + 32 + 512, 512 + 32 + 512 + 32 };

static struct increment_header *bad_header(void)
{
	return (struct increment_header *)bad;
}

static struct increment_chunk *bad_chunk(unsigned int i)
{
	return (struct increment_chunk *)(bad + chunk_at[i]);
}

static struct increment_end *bad_end(void)
{
	return (struct increment_end *)(bad + length - sizeof(struct increment_end));
}

static __le32 bound(const void *data, size_t len)
{
	return cpu_to_le32(~crc32c(crc32c(~0U, &bad_header()->crc, 4), data, len));
}

static void seal(void)
{
	u32 crc = ~0U;
	unsigned int i;

	bad_header()->crc = cpu_to_le32(cow_crc(bad, 508));
	for (i = 0; i < ARRAY_SIZE(chunk_at); i++) {
		bad_chunk(i)->crc = bound(bad_chunk(i), 28);
		crc = crc32c(crc, &bad_chunk(i)->crc, 4);
	}
	bad_end()->chunks_crc = cpu_to_le32(~crc);
	bad_end()->crc = bound(bad_end(), 60);
}

static void refused(int want, const char *what)
{
	int got;

	seal();
	got = read_bad();
	if (got != want)
		printf("# %d\n", got);
	ok(got == want, what);
	memcpy(bad, good, length);
}

static void impossible_headers(void)
{
	struct increment_header *h = bad_header();

	memcpy(bad, good, length);
	refused(BOW_OK, "nothing changed, sealed again");
	h->magic[3] ^= 1;
	refused(BOW_DAMAGED, "magic");
	h->version = cpu_to_le32(2);
	refused(BOW_REFUSED, "version");
	h->header_bytes = cpu_to_le32(1024);
	refused(BOW_REFUSED, "a longer header");
	h->features_incompat = cpu_to_le64(1);
	refused(BOW_REFUSED, "an incompatible feature");
	h->features_compat = cpu_to_le64(1);
	refused(BOW_OK, "a compatible feature");
	h->since = 0;
	refused(BOW_DAMAGED, "since snapshot 0");
	h->since = h->number;
	refused(BOW_DAMAGED, "since itself");
	h->number = cpu_to_le64(65536);
	refused(BOW_DAMAGED, "a number that does not exist");
	h->size = cpu_to_le64(SIZE + 511);
	refused(BOW_DAMAGED, "an odd size");
	h->size = cpu_to_le64(1ULL << 63);
	refused(BOW_DAMAGED, "a huge size");
	h->block_bytes = 0;
	refused(BOW_DAMAGED, "block size 0");
	h->block_bytes = cpu_to_le32(2048);
	refused(BOW_DAMAGED, "block size 2048");
	h->block_bytes = cpu_to_le32(12288);
	refused(BOW_DAMAGED, "block size 12288");
	h->block_bytes = cpu_to_le32(1U << 31);
	refused(BOW_DAMAGED, "block size 2 GiB");
	memset(h->origin, 'x', sizeof(h->origin));
	refused(BOW_DAMAGED, "a name without an end");
}

struct put {
	u64 offset, length;
	bool zero;
};

/* The writer writes what it is told, so nothing else is wrong with it. */
static int read_puts(const struct put *puts, unsigned int nr)
{
	static const u8 data[INCREMENT_MAX_DATA + 512] = "contents";
	int fd = memfd_create("increment", MFD_CLOEXEC), status;
	struct increment_writer w = { .fd = fd, .path = "increment" };
	u64 chunks;

	if (increment_begin(&w, &info))
		exit(99);
	for (; nr--; puts++)
		if (increment_put(&w, puts->offset, puts->zero ? NULL : data, puts->length))
			exit(99);
	if (increment_end(&w))
		exit(99);
	status = read_fd(fd, &chunks);
	close(fd);
	return status;
}

static void impossible_chunks(void)
{
	static const struct {
		const char *what;
		struct put puts[2];
	} cases[] = {
		{ "no data", { { 0, 0, false } } },
		{ "no zeroes", { { 0, 0, true } } },
		{ "an odd length", { { 0, 511, false } } },
		{ "an odd offset", { { 1, 512, false } } },
		{ "more data than fits", { { 0, INCREMENT_MAX_DATA + 512, false } } },
		{ "overlapping chunks", { { 0, 1024, false }, { 512, 512, false } } },
		{ "descending chunks", { { 1024, 512, false }, { 0, 512, false } } },
		{ "a chunk at the end", { { SIZE, 512, false } } },
		{ "a chunk across the end", { { SIZE - 512, 1024, false } } },
		{ "zeroes across the end", { { 512, SIZE, true } } },
		{ "a length that wraps", { { 65536, 0ULL - 65536, true } } },
		{ "an offset that wraps", { { 0ULL - 512, 512, true } } },
		{ "both wrap", { { 0ULL - 512, 1024, true } } },
	};
	static const struct put possible[] = {
		{ 0, INCREMENT_MAX_DATA, false }, { SIZE - 512, 512, true },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		ok(read_puts(cases[i].puts, cases[i].puts[1].length ? 2 : 1) == BOW_DAMAGED,
		   cases[i].what);
	ok(!read_puts(NULL, 0), "no chunk at all");
	info.size = 0;
	ok(read_puts(NULL, 0) == BOW_DAMAGED, "size 0");
	info.size = SIZE;
	ok(!read_puts(possible, 2), "the largest chunk, and one that ends with the device");
	bad_chunk(1)->kind = cpu_to_le32(4);
	refused(BOW_DAMAGED, "an unknown kind");
	bad_chunk(1)->kind = 0;
	refused(BOW_DAMAGED, "kind 0");
}

static void wrong_sums(void)
{
	bad_end()->chunks = cpu_to_le64(4);
	refused(BOW_DAMAGED, "another number of chunks");
	bad_end()->data_bytes = cpu_to_le64(0);
	refused(BOW_DAMAGED, "another number of bytes");
	bad_end()->zero_bytes = cpu_to_le64(0);
	refused(BOW_DAMAGED, "another number of zeroes");
	seal();
	bad_end()->chunks_crc ^= cpu_to_le32(1);
	bad_end()->crc = bound(bad_end(), 60);
	ok(read_bad() == BOW_DAMAGED, "another checksum of all chunks");
	memcpy(bad, good, length);
}

/* A chunk of another increment, with its checksum, in the place of one. */
static void foreign_chunk(void)
{
	struct increment_chunk chunk;

	bad_header()->time ^= 1;
	seal();
	chunk = *bad_chunk(1);
	memcpy(bad, good, length);
	*bad_chunk(1) = chunk;
	ok(read_bad() == BOW_DAMAGED, "a chunk of another increment");
	memcpy(bad, good, length);
	memset(bad_end()->reserved2, 0xff, sizeof(bad_end()->reserved2));
	refused(BOW_OK, "what is reserved does not matter");
}

/* Whatever the numbers are: read_fd() looks at what is handed out. */
static void random_numbers(void)
{
	unsigned int i, accepted = 0;
	u64 x = 88172645463325252ULL;

	for (i = 0; i < ROUNDS; i++) {
		size_t at;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(bad, good, length);
		at = x % 4 ? chunk_at[x % 3] + x / 16 % 32 : x / 16 % 128;
		bad[at] ^= (u8)(x >> 32);
		bad[at + x % 3] ^= (u8)(x >> 40);
		seal();
		accepted += !read_bad();
	}
	printf("# %u of %d accepted\n", accepted, ROUNDS);
	ok(accepted && accepted < ROUNDS, "any numbers at all");
}

int main(void)
{
	/* What is wrong with each of them is not for anybody to read. */
	if (!freopen("/dev/null", "w", stderr))
		return 99;
	make();
	every_byte();
	every_length();
	impossible_headers();
	impossible_chunks();
	wrong_sums();
	foreign_chunk();
	random_numbers();
	free(good);
	free(bad);
	printf("1..%d\n", tests);
	return failures != 0;
}
