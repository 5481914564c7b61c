// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * crc32c: known answers, and both ways of computing it agree.
 */
#include <stdio.h>

#include "../lib/crc32c.c"

static int tests, failures;

static void ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failures += !good;
}

/* Bit by bit, straight from the definition. */
static u32 slowly(u32 crc, const u8 *p, size_t len)
{
	while (len--) {
		int i;

		crc ^= *p++;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return crc;
}

static bool all_agree(u32 (*fn)(u32 crc, const u8 *p, size_t len))
{
	u8 data[300];
	size_t start, len, i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 167 + 13);
	for (start = 0; start < 9; start++)
		for (len = 0; len < 290; len++)
			if (fn(0x12345678, data + start, len) !=
			    slowly(0x12345678, data + start, len))
				return false;
	return true;
}

static u32 public_one(u32 crc, const u8 *p, size_t len)
{
	return crc32c(crc, p, len);
}

int main(void)
{
	static const u8 zeros[32], digits[] = "123456789";
	u8 ones[32];

	memset(ones, 0xff, sizeof(ones));
	ok(cow_crc(digits, 9) == 0xe3069283, "123456789");
	ok(cow_crc(zeros, 32) == 0x8a9136aa, "32 zeros (RFC 3720)");
	ok(cow_crc(ones, 32) == 0x62a8ab43, "32 ones (RFC 3720)");
	ok(all_agree(crc32c_tables), "by tables, all lengths and alignments");
	ok(all_agree(public_one), "by what this processor has");
	printf("1..%d\n", tests);
	return failures != 0;
}
