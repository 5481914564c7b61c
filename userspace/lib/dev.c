// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Block devices and image files.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "copier.h"
#include "dev.h"
#include "kept.h"
#include "mnt.h"

#define BOUNCE_SECTORS 2048U
#define MAX_ATOMIC_SECTORS 8U
#define SMALL_SECTORS 128U

static struct bow_dev *to_dev(struct cow_io *io)
{
	return container_of(io, struct bow_dev, io);
}

static int io_error(const struct bow_dev *dev, const char *what, u64 sector, int err)
{
	error_msg("%s: %s at sector %llu: %s", dev->path, what,
		  (unsigned long long)sector, strerror(err));
	return -err;
}

int bow_dev_read_quietly(struct bow_dev *dev, u64 sector, void *buf, u32 sectors)
{
	off_t at = (off_t)(sector << 9);
	size_t done = 0, len = (size_t)sectors << 9;

	while (done < len) {
		ssize_t n = pread(dev->fd, (u8 *)buf + done, len - done,
				  at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int write_all(struct bow_dev *dev, u64 sector, size_t len)
{
	off_t at = (off_t)(sector << 9);
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(dev->fd, (u8 *)dev->bounce + done, len - done,
				   at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return io_error(dev, "write", sector, n ? errno : EIO);
		done += (size_t)n;
	}
	return 0;
}

/* ---- copies -------------------------------------------------------------- */

static int end_copies(struct bow_dev *dev)
{
	struct copier_error error;

	if (!dev->copier)
		return 0;
	error = copier_wait(dev->copier);
	if (!error.err)
		return 0;
	/* Who is told -EOPNOTSUPP takes it that nothing was begun. */
	if (error.err == -EOPNOTSUPP)
		error.err = -EIO;
	return io_error(error.fd == dev->fd ? dev : dev->copies_from,
			error.write ? "write" : "read", error.sector, -error.err);
}

/* What was read already is only written. */
static int copy_pieces(struct bow_dev *from, u64 from_sector, struct bow_dev *to,
		       u64 to_sector, u32 sectors)
{
	int r = 0;

	while (sectors && !r) {
		void *data;
		u32 piece = kept_piece(from->kept, from_sector, sectors, &data);

		if (data)
			r = copier_write(to->copier, data, to->fd, to_sector, piece);
		else
			r = copier_copy(to->copier, from->fd, from_sector, to->fd, to_sector,
					piece);
		from_sector += piece;
		to_sector += piece;
		sectors -= piece;
	}
	return r;
}

int bow_dev_copy(struct bow_dev *from, u64 from_sector, struct bow_dev *to, u64 to_sector,
		 u32 sectors)
{
	/* Tests count writes one by one; block 0 may not be read as it is. */
	if (from->page0 || from->stop_after || to->stop_after)
		return -EOPNOTSUPP;
	if (!to->copier && !to->no_copier)
		to->copier = copier_new();
	to->no_copier = !to->copier;
	if (!to->copier)
		return -EOPNOTSUPP;
	to->copies_from = from;
	from->window_sectors = to->window_sectors = 0;
	kept_forget(to->kept, to_sector, sectors);
	return copy_pieces(from, from_sector, to, to_sector, sectors) ? end_copies(to) : 0;
}

static int dev_copy(struct cow_io *io, u64 from, u64 to, u32 sectors)
{
	return bow_dev_copy(to_dev(io), from, to_dev(io), to, sectors);
}

/* ---- reads, writes --------------------------------------------------------- */

/* What is read of block 0 is not what is there. */
static void lay_over(struct bow_dev *dev, u64 sector, u32 sectors)
{
	if (sector < COW_PAGE_SECTORS)
		memcpy(dev->bounce, (const u8 *)dev->page0 + (sector << 9),
		       min_t(u64, sectors, COW_PAGE_SECTORS - sector) << 9);
}

static bool in_window(const struct bow_dev *dev, u64 sector, u32 sectors)
{
	return sector >= dev->window_sector &&
	       sector + sectors <= dev->window_sector + dev->window_sectors;
}

static void fill_window(struct bow_dev *dev, u64 sector, u64 end)
{
	u32 sectors = (u32)(end - sector);
	void *room = kept_room(dev->kept, sectors);

	/* Each attempt to read a bad sector may take half a minute. */
	if (sector < dev->bad_end && end > dev->bad)
		return;
	dev->window = room ? room : dev->window_buffer;
	dev->window_sector = sector;
	dev->window_sectors = 0;
	if (bow_dev_read_quietly(dev, sector, dev->window, sectors)) {
		dev->bad = sector;
		dev->bad_end = end;
		return;
	}
	dev->window_sectors = sectors;
	if (room)
		kept_add(dev->kept, sector, sectors);
}

/*
 * Backups lie one behind the other, mostly: who reads small ones in that order, or the
 * other way round, gets them from a larger read. If that fails each is read by itself.
 */
static bool read_window(struct bow_dev *dev, u64 sector, void *buf, u32 sectors)
{
	u64 end = sector + sectors, last = dev->last, last_end = dev->last_end;

	dev->last = sector;
	dev->last_end = end;
	if (sectors > SMALL_SECTORS || sector < COW_PAGE_SECTORS || end > dev->io.sectors)
		return false;
	if (!in_window(dev, sector, sectors)) {
		if (sector == last_end)
			fill_window(dev, sector, min(dev->io.sectors, sector + BOUNCE_SECTORS));
		else if (end == last && end > BOUNCE_SECTORS + COW_PAGE_SECTORS)
			fill_window(dev, end - BOUNCE_SECTORS, end);
	}
	if (!in_window(dev, sector, sectors))
		return false;
	memcpy(buf, (u8 *)dev->window + ((sector - dev->window_sector) << 9),
	       (size_t)sectors << 9);
	return true;
}

/* The plain code does not know about alignment in memory. */
static int read_part(struct bow_dev *dev, u64 sector, void *buf, u32 sectors)
{
	void *room = dev->page0 ? NULL : kept_room(dev->kept, sectors);
	void *data = room ? room : dev->bounce;
	int r;

	if (room)	/* it may be there */
		dev->window_sectors = 0;
	r = bow_dev_read_quietly(dev, sector, data, sectors);
	if (r)
		return io_error(dev, "read", sector, -r);
	if (room)
		kept_add(dev->kept, sector, sectors);
	if (dev->page0)
		lay_over(dev, sector, sectors);
	memcpy(buf, data, (size_t)sectors << 9);
	return 0;
}

static bool read_memory(struct bow_dev *dev, u64 sector, void *buf, u32 sectors)
{
	if (read_window(dev, sector, buf, sectors))
		return true;
	return dev->kept && !dev->page0 && kept_read(dev->kept, sector, buf, sectors);
}

static int dev_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct bow_dev *dev = to_dev(io);
	int r = end_copies(dev);

	if (r || read_memory(dev, sector, buf, sectors))
		return r;
	while (sectors && !r) {
		u32 part = min(sectors, BOUNCE_SECTORS);

		r = read_part(dev, sector, buf, part);
		buf = (u8 *)buf + ((size_t)part << 9);
		sector += part;
		sectors -= part;
	}
	return r;
}

static void count_write(struct bow_dev *dev)
{
	count_step(&dev->writes, dev->stop_after, "writes");
}

static int dev_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct bow_dev *dev = to_dev(io);
	int r = end_copies(dev);

	if (r)
		return r;
	dev->window_sectors = 0;
	kept_forget(dev->kept, sector, sectors);
	while (sectors) {
		u32 part = min(sectors, BOUNCE_SECTORS);
		size_t len = (size_t)part << 9;

		memcpy(dev->bounce, buf, len);
		r = write_all(dev, sector, len);
		if (r)
			return r;
		count_write(dev);
		buf = (const u8 *)buf + len;
		sector += part;
		sectors -= part;
	}
	return 0;
}

static int dev_flush(struct cow_io *io)
{
	struct bow_dev *dev = to_dev(io);
	int r = end_copies(dev);

	if (r)
		return r;
	/* Who begins with a flush wants to read what is there now. */
	dev->window_sectors = 0;
	if (!fdatasync(dev->fd))
		return 0;
	error_msg("%s: flush: %s", dev->path, strerror(errno));
	return -errno;
}

static const struct cow_io_ops dev_ops = {
	.read = dev_read,
	.write = dev_write,
	.flush = dev_flush,
	.copy = dev_copy,
};

static int refuse_busy(const char *path, dev_t number)
{
	char user[USER_TEXT];

	if (!device_user(number, user))
		strcpy(user, "in use");
	return fail(BOW_REFUSED, "%s is %s; unmount it, remove what holds it, then try again",
		    path, user);
}

static int open_block(struct bow_dev *dev, bool writable)
{
	char name[USER_TEXT];
	int lbs = 512;
	u64 bytes;

	/* Through a live bow device the log is not to be seen. */
	if (device_is_bow(dev->number, name))
		return fail(BOW_REFUSED, "%s is the live bow device %s: unmount it, 'bow remove %s', then name the device below",
			    dev->path, name, name);
	dev->fd = open(dev->path, (writable ? O_RDWR : O_RDONLY) | O_DIRECT |
		       O_EXCL | O_CLOEXEC);
	if (dev->fd < 0 && errno == EBUSY)
		return refuse_busy(dev->path, dev->number);
	if (dev->fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", dev->path, strerror(errno));
	if (ioctl(dev->fd, BLKGETSIZE64, &bytes) ||
	    ioctl(dev->fd, BLKSSZGET, &lbs))
		return fail(BOW_SYSTEM, "%s: no size to be had: %s", dev->path,
			    strerror(errno));
	dev->io.sectors = bytes >> 9;
	dev->io.atomic_sectors = max((u32)lbs >> 9, 1U);
	if (dev->io.atomic_sectors > MAX_ATOMIC_SECTORS)
		return fail(BOW_REFUSED, "%s: logical blocks of %d bytes are too large, 4096 is the most",
			    dev->path, lbs);
	return 0;
}

static int open_file(struct bow_dev *dev, bool writable, off_t size)
{
	char loop[USER_TEXT];

	if (file_is_looped(dev->path, loop))
		return fail(BOW_REFUSED, "%s is in use by %s; name /dev/%s, or detach it first",
			    dev->path, loop, loop);
	dev->fd = open(dev->path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (dev->fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", dev->path, strerror(errno));
	if (flock(dev->fd, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB))
		return fail(BOW_REFUSED, "%s is locked by another process",
			    dev->path);
	dev->io.sectors = (u64)size >> 9;
	dev->io.atomic_sectors = 1;
	return 0;
}

static int open_any(struct bow_dev *dev, bool writable)
{
	struct stat st;

	if (stat(dev->path, &st))
		return fail(BOW_SYSTEM, "%s: %s", dev->path, strerror(errno));
	if (S_ISBLK(st.st_mode)) {
		dev->block = true;
		dev->number = st.st_rdev;
		return open_block(dev, writable);
	}
	if (S_ISREG(st.st_mode))
		return open_file(dev, writable, st.st_size);
	return fail(BOW_USAGE, "%s is neither a block device nor a file",
		    dev->path);
}

int bow_dev_open(struct bow_dev *dev, const char *path, bool writable)
{
	int status;

	memset(dev, 0, sizeof(*dev));
	dev->io.ops = &dev_ops;
	dev->path = path;
	dev->fd = -1;
	dev->bounce = aligned_alloc(DIRECT_ALIGN, (size_t)BOUNCE_SECTORS << 9);
	dev->window_buffer = aligned_alloc(DIRECT_ALIGN, (size_t)BOUNCE_SECTORS << 9);
	if (!dev->bounce || !dev->window_buffer)
		return fail(BOW_SYSTEM, "out of memory");
	status = open_any(dev, writable);
	if (status)
		bow_dev_close(dev);
	return status;
}

void bow_dev_keep(struct bow_dev *dev, u64 bytes)
{
	if (!dev->kept)
		dev->kept = kept_new(bytes == KEEP_DEFAULT ? kept_default_bytes() : bytes);
}

void bow_dev_close(struct bow_dev *dev)
{
	copier_free(dev->copier);
	if (dev->fd >= 0)
		close(dev->fd);
	free(dev->bounce);
	free(dev->window_buffer);
	kept_free(dev->kept);
	dev->fd = -1;
	dev->copier = NULL;
	dev->bounce = NULL;
	dev->window = dev->window_buffer = NULL;
	dev->kept = NULL;
}
