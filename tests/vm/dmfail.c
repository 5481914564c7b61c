// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Load a table again and again: first the first allocation fails, then the second,
 * and so on until there is none left to fail.
 *
 *	dmfail DEVICE SECTORS TARGET PARAMETERS
 *
 * Which allocations count is said by the stack trace filters of failslab and
 * fail_page_alloc. The device exists, and has a table or none; that stays. Prints
 * how many allocations failed, and how often the kernel refused the table.
 */
#include "dm.h"

static const char *device;
static int nth;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("dmfail: ", stderr);
	vfprintf(stderr, fmt, args);
	fprintf(stderr, " (%s)\n", strerror(errno));
	va_end(args);
	exit(2);
}

static void clear(void)
{
	errno = dm_clear(device);
	if (errno)
		die("cannot clear the table of %s", device);
}

static void fail_after(unsigned int count)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", count);

	if (pwrite(nth, text, len, 0) != len)
		die("cannot write to fail-nth");
}

/* Has one failed? The kernel counts down. */
static int has_failed(void)
{
	char text[16] = "";

	if (pread(nth, text, sizeof(text) - 1, 0) <= 0)
		die("cannot read fail-nth");
	return !atoi(text);
}

int main(int argc, char **argv)
{
	unsigned int count = 0, refused = 0;
	int failed;

	if (argc != 5) {
		fputs("usage: dmfail DEVICE SECTORS TARGET PARAMETERS\n", stderr);
		return 2;
	}
	device = argv[1];
	nth = open("/proc/self/fail-nth", O_RDWR);
	if (nth < 0)
		die("no fail-nth");
	do {
		int error;

		fail_after(++count);
		error = dm_load(device, strtoull(argv[2], NULL, 10), argv[3], argv[4]);
		failed = has_failed();
		fail_after(0);
		if (!error)
			clear();
		else if (!failed)
			die("the table is refused without a fault: %s", strerror(error));
		else if (error != ENOMEM)
			die("fault %u: %s", count, strerror(error));
		else
			refused++;
	} while (failed);
	printf("%u allocations failed one by one, %u tables refused\n", count - 1, refused);
	return refused ? 0 : 1;
}
