/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which kernels are supported, what differs between them, and nothing else.
 */
#ifndef DM_COW_COMPAT_H
#define DM_COW_COMPAT_H

#include <linux/blkdev.h>
#include <linux/hrtimer.h>
#include <linux/version.h>

/*
 * As the file META says. A newer kernel may well compile this and yet have changed
 * what it relies on: who lets somebody's data depend on that is to say so.
 */
#if (LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0) || \
     LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12 + 1, 0)) && !defined(DM_COW_ANY_KERNEL)
#error "dm-cow is for Linux 6.1 to 6.12; to try another one: make KCFLAGS=-DDM_COW_ANY_KERNEL"
#endif

/* A block device opened by us, rather than through a table. */
struct cow_bdev {
	struct block_device *bdev;
#ifdef HAVE_BDEV_FILE
	struct file *file;
#else
	fmode_t mode;
#endif
};

/*
 * Read and write; nobody but @holder may claim it, or, if that is NULL, nobody is
 * excluded. 0 or -errno; may sleep.
 */
static inline int cow_bdev_open(struct cow_bdev *opened, dev_t dev, void *holder)
{
#ifdef HAVE_BDEV_FILE
	struct file *file = bdev_file_open_by_dev(dev, BLK_OPEN_READ | BLK_OPEN_WRITE,
						  holder, NULL);

	if (IS_ERR(file))
		return PTR_ERR(file);
	opened->file = file;
	opened->bdev = file_bdev(file);
#else
	fmode_t mode = FMODE_READ | FMODE_WRITE | (holder ? FMODE_EXCL : 0);
	struct block_device *bdev = blkdev_get_by_dev(dev, mode, holder);

	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	opened->bdev = bdev;
	opened->mode = mode;
#endif
	return 0;
}

static inline void cow_bdev_close(struct cow_bdev *opened)
{
#ifdef HAVE_BDEV_FILE
	fput(opened->file);
#else
	blkdev_put(opened->bdev, opened->mode);
#endif
}

/* One that is set relative to now. */
static inline void cow_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*fn)(struct hrtimer *timer))
{
#ifdef HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	timer->function = fn;
#endif
}

#endif
