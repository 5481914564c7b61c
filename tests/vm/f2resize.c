// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Make a mounted f2fs smaller, which f2fs-tools cannot.
 *
 *	f2resize DIRECTORY BLOCKS	of 4096 bytes; exit status 1: it does not want to
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/f2fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	__u64 blocks;
	int fd;

	if (argc != 3) {
		fputs("usage: f2resize DIRECTORY BLOCKS\n", stderr);
		return 2;
	}
	blocks = strtoull(argv[2], NULL, 0);
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || ioctl(fd, F2FS_IOC_RESIZE_FS, &blocks)) {
		fprintf(stderr, "f2resize: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	return 0;
}
