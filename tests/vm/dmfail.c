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
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BUFFER 4096

static const char *device;
static int control, nth;

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

static struct dm_ioctl *request(void)
{
	static union {
		struct dm_ioctl dm;
		char room[BUFFER];
	} buf;

	memset(&buf, 0, sizeof(buf));
	buf.dm.version[0] = DM_VERSION_MAJOR;
	buf.dm.data_size = sizeof(buf);
	buf.dm.data_start = sizeof(buf.dm);
	snprintf(buf.dm.name, sizeof(buf.dm.name), "%s", device);
	return &buf.dm;
}

static int load(unsigned long long sectors, const char *target, const char *params)
{
	struct dm_ioctl *dm = request();
	struct dm_target_spec *spec = (void *)(dm + 1);

	spec->length = sectors;
	snprintf(spec->target_type, sizeof(spec->target_type), "%s", target);
	snprintf((char *)(spec + 1), BUFFER - sizeof(*dm) - sizeof(*spec), "%s", params);
	dm->target_count = 1;
	return ioctl(control, DM_TABLE_LOAD, dm);
}

static void clear(void)
{
	if (ioctl(control, DM_TABLE_CLEAR, request()))
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
	control = open("/dev/mapper/control", O_RDWR);
	nth = open("/proc/self/fail-nth", O_RDWR);
	if (control < 0 || nth < 0)
		die("no device-mapper, or no fail-nth");
	do {
		int error = 0;

		fail_after(++count);
		if (load(strtoull(argv[2], NULL, 10), argv[3], argv[4]))
			error = errno;
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
