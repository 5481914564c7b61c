/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that are supported, and nothing else.
 */
#ifndef DM_COW_COMPAT_H
#define DM_COW_COMPAT_H

#include <linux/blkdev.h>

/* A block device opened by us, rather than through a table. */
struct cow_bdev {
	struct block_device *bdev;
#ifdef HAVE_BDEV_FILE
	struct file *file;
#endif
};

/* Read and write, nobody excluded. 0 or -errno; may sleep. */
static inline int cow_bdev_open(struct cow_bdev *opened, dev_t dev)
{
#ifdef HAVE_BDEV_FILE
	struct file *file = bdev_file_open_by_dev(dev, BLK_OPEN_READ | BLK_OPEN_WRITE,
						  NULL, NULL);

	if (IS_ERR(file))
		return PTR_ERR(file);
	opened->file = file;
	opened->bdev = file_bdev(file);
#else
	struct block_device *bdev = blkdev_get_by_dev(dev, FMODE_READ | FMODE_WRITE,
						      NULL);

	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	opened->bdev = bdev;
#endif
	return 0;
}

static inline void cow_bdev_close(struct cow_bdev *opened)
{
#ifdef HAVE_BDEV_FILE
	fput(opened->file);
#else
	blkdev_put(opened->bdev, FMODE_READ | FMODE_WRITE);
#endif
}

#endif
