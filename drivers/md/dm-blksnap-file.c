// SPDX-License-Identifier: GPL-2.0-only
/*
 * The target blksnap-file: a file as a store.
 *
 * Its blocks are reached past the filesystem that it lies on, and past the origin
 * if that filesystem is on one: what is written there is nothing that a snapshot
 * has to keep. So the origin is told which blocks these are.
 */
#include <linux/ctype.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/string_helpers.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap-file"

/* What one table line asks for. */
struct file_target {
	struct list_head list;		/* all that have a file; that one's mutex guards it */
	const struct dm_table *table;
	u64 begin, len;			/* sectors of its device */
	dev_t dev;			/* as the table has it */
	char *path;
	bool has_extents;		/* the next two were given */
	unsigned int nr_extents;
	u32 crc;
	struct snap_file *file;
	struct work_struct release;
};

/* Guards the lists, and the users of each file. Innermost. */
static DEFINE_MUTEX(files_mutex);
static LIST_HEAD(files);
static LIST_HEAD(targets);

/* Files are given up here: it may mean I/O to a filesystem that is suspended. */
static struct workqueue_struct *release_wq;

/* ---- where a bio goes --------------------------------------------------- */

static int file_map(struct dm_target *ti, struct bio *bio)
{
	const struct snap_file *file = ((struct file_target *)ti->private)->file;
	u64 left;

	/* Detached: who knows what there is below it by now. */
	if (file->origin && !READ_ONCE(file->origin->live))
		return DM_MAPIO_KILL;

	bio_set_dev(bio, file->bdev);
	if (!bio_sectors(bio))
		return DM_MAPIO_REMAPPED;	/* one flush, whatever the extents */
	bio->bi_iter.bi_sector =
		snap_pin_find(&file->pin, dm_target_offset(ti, bio->bi_iter.bi_sector),
			      &left);
	if (left < bio_sectors(bio))
		dm_accept_partial_bio(bio, left);
	return DM_MAPIO_REMAPPED;
}

/* ---- files -------------------------------------------------------------- */

static const struct gendisk *disk_of(const struct snap_file *file)
{
	return file_inode(file->pin.file)->i_sb->s_bdev->bd_disk;
}

bool snap_file_on(const struct gendisk *disk, const struct snap_origin *origin)
{
	const struct snap_file *file;
	bool found = false;

	mutex_lock(&files_mutex);
	list_for_each_entry(file, &files, list)
		if (disk_of(file) == disk && file->origin != origin)
			found = true;
	mutex_unlock(&files_mutex);
	return found;
}

static struct snap_file *share_file(const struct file *opened)
{
	struct snap_file *file, *found = NULL;

	mutex_lock(&files_mutex);
	list_for_each_entry(file, &files, list)
		if (file_inode(file->pin.file) == file_inode(opened))
			found = file;
	if (found)
		found->users++;
	mutex_unlock(&files_mutex);
	return found;
}

static void add_to_list(struct snap_file *file)
{
	file->users = 1;
	mutex_lock(&files_mutex);
	list_add(&file->list, &files);
	mutex_unlock(&files_mutex);
}

static void close_file(struct snap_file *file)
{
	if (file->origin) {
		snap_inside_forget(file->origin, file);
		cow_bdev_close(&file->below);
	}
	snap_pin_put(&file->pin);
	/* Last, and it may be the origin's last user. */
	if (file->origin)
		cow_registry_put(&file->origin->dev);
	kfree(file);
}

static void put_file(struct snap_file *file)
{
	bool last;

	mutex_lock(&files_mutex);
	last = !--file->users;
	if (last)
		list_del(&file->list);
	mutex_unlock(&files_mutex);
	if (last)
		close_file(file);
}

/* ---- where the blocks of a file are ------------------------------------- */

/*
 * The origin that is @disk, a share in it taken; NULL if there is none. It must
 * lie on @dev, and nobody else's target be there: -ENODEV.
 */
static struct snap_origin *find_origin(struct gendisk *disk, dev_t dev)
{
	struct snap_origin *origin = NULL;
	struct cow_dev *found;

	cow_registry_lock();
	found = cow_registry_find_disk(disk);
	if (found && (found->ops != &snap_origin_dev_ops || found->bdev->bd_dev != dev ||
		      !dev_to_origin(found)->targets)) {
		origin = ERR_PTR(-ENODEV);
	} else if (found) {
		origin = dev_to_origin(found);
		found->users++;
	}
	cow_registry_unlock();
	return origin;
}

static int place_on_origin(struct snap_file *file, struct snap_origin *origin, dev_t dev)
{
	int r = cow_bdev_open(&file->below, dev, NULL);

	if (r)
		return r;
	r = snap_inside_add(origin, file);
	if (r)
		cow_bdev_close(&file->below);
	else
		file->bdev = file->below.bdev;
	return r;
}

static int place_on_device(struct snap_file *file, struct block_device *bdev, dev_t dev)
{
	file->bdev = bdev;
	return bdev->bd_dev == dev ? 0 : -ENODEV;
}

/* The file is pinned: it stays where it is, and so does the filesystem. */
static int place_file(struct snap_file *file, dev_t dev)
{
	struct block_device *bdev = file_inode(file->pin.file)->i_sb->s_bdev;
	struct snap_origin *origin;
	int r;

	origin = find_origin(bdev->bd_disk, dev);
	if (IS_ERR(origin))
		return PTR_ERR(origin);
	if (!origin)
		return place_on_device(file, bdev, dev);
	r = bdev_is_partition(bdev) ? -ENODEV : place_on_origin(file, origin, dev);
	if (r)
		cow_registry_put(&origin->dev);
	else
		file->origin = origin;
	return r;
}

/* An origin that came while the file was not on the list has not seen it. */
static int check_again(const struct snap_file *file)
{
	struct cow_dev *found;

	if (file->origin)
		return 0;
	cow_registry_lock();
	found = cow_registry_find_disk(file->bdev->bd_disk);
	cow_registry_unlock();
	return found ? -EAGAIN : 0;
}

static struct snap_file *open_file(struct dm_target *ti, const struct file_target *ft,
				   struct file *opened)
{
	struct snap_file *file = kzalloc(sizeof(*file), GFP_KERNEL);
	int r = -ENOMEM;

	if (file)
		r = snap_pin_get(&file->pin, opened);
	else
		fput(opened);
	if (r) {
		ti->error = "The file cannot be pinned";
		kfree(file);
		return ERR_PTR(r);
	}
	file->md = dm_table_get_md(ti->table);
	file->disk = dm_disk(file->md);
	r = place_file(file, ft->dev);
	if (r) {
		ti->error = r == -ENOSPC ? "No room to keep what is in the file's place" :
			    r == -EBUSY ? "The origin's log forbids it, or it is suspended" :
			    "The file is neither on the device nor on an origin there";
		snap_pin_put(&file->pin);
		kfree(file);
		return ERR_PTR(r);
	}
	add_to_list(file);
	return file;
}

/* ---- constructor -------------------------------------------------------- */

static int parse_extents(struct dm_target *ti, unsigned int argc, char **argv,
			 struct file_target *ft)
{
	if (!argc)
		return 0;
	if (argc != 4 || strcmp(argv[0], "3") || strcasecmp(argv[1], "extents") ||
	    kstrtouint(argv[2], 10, &ft->nr_extents) || kstrtou32(argv[3], 16, &ft->crc)) {
		ti->error = "Optional: 3 extents, their number and crc32c";
		return -EINVAL;
	}
	ft->has_extents = true;
	return 0;
}

static int parse_device(const char *text, dev_t *dev)
{
	unsigned int major, minor;
	char rest;

	if (sscanf(text, "%u:%u%c", &major, &minor, &rest) != 2)
		return lookup_bdev(text, dev);
	*dev = MKDEV(major, minor);
	return 0;
}

static bool is_good_path(const u8 *path)
{
	const u8 *c;

	for (c = path; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			return false;
	return *path == '/';
}

static int parse_arguments(struct dm_target *ti, unsigned int argc, char **argv,
			   struct file_target *ft)
{
	int r;

	if (argc < 2) {
		ti->error = "Arguments: device, file";
		return -EINVAL;
	}
	r = parse_device(argv[0], &ft->dev);
	if (r) {
		ti->error = "No such device";
		return r;
	}
	string_unescape_inplace(argv[1], UNESCAPE_OCTAL);
	if (!is_good_path(argv[1])) {
		ti->error = "The file must be a path from / on, without control characters";
		return -EINVAL;
	}
	ft->path = kstrdup(argv[1], GFP_KERNEL);
	if (!ft->path) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	return parse_extents(ti, argc - 2, argv + 2, ft);
}

void snap_file_settle(void)
{
	flush_workqueue(release_wq);
}

static int find_file(struct dm_target *ti, struct file_target *ft)
{
	struct snap_file *file;
	struct file *opened;

	/* One that is being given up at this moment could not be pinned. */
	snap_file_settle();
	opened = snap_pin_open(ft->path);
	if (IS_ERR(opened)) {
		ti->error = "Cannot open the file";
		return PTR_ERR(opened);
	}
	file = share_file(opened);
	if (file)
		fput(opened);
	else
		file = open_file(ti, ft, opened);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ft->file = file;
	if (!check_again(file))
		return 0;
	ti->error = "The device of the file became an origin";
	return -EAGAIN;
}

/*
 * Is @ft where a store may have it, which @other is a part of? A file stays where it
 * is, from one table to the next, and is there once; and nothing comes in its place.
 */
static bool fits(const struct file_target *ft, const struct file_target *other)
{
	if (ft->file == other->file)
		return ft->begin == other->begin && ft->table != other->table;
	return ft->file->md != other->file->md || ft->begin >= other->begin + other->len ||
	       other->begin >= ft->begin + ft->len;
}

static int take_place(struct dm_target *ti, struct file_target *ft)
{
	const struct file_target *other;
	int r = 0;

	ft->table = ti->table;
	ft->begin = ti->begin;
	ft->len = ti->len;
	mutex_lock(&files_mutex);
	list_for_each_entry(other, &targets, list)
		if (!fits(ft, other))
			r = -EBUSY;
	if (!r)
		list_add(&ft->list, &targets);
	mutex_unlock(&files_mutex);
	if (r)
		ti->error = "A file's place in a store cannot be changed, or be another file's";
	return r;
}

static void leave_place(struct file_target *ft)
{
	mutex_lock(&files_mutex);
	list_del(&ft->list);
	mutex_unlock(&files_mutex);
}

/* The table was made by somebody who has looked for the extents himself. */
static int check_file(struct dm_target *ti, const struct file_target *ft)
{
	const struct snap_pin *pin = &ft->file->pin;

	/* Two devices would be two stores, in the same place. */
	if (ft->file->md != dm_table_get_md(ti->table) || ft->file->bdev->bd_dev != ft->dev) {
		ti->error = "The file is in use already, by another device";
		return -EBUSY;
	}
	if (ft->has_extents && (ft->nr_extents != pin->nr || ft->crc != pin->crc)) {
		DMERR("%s: %u extents, crc32c %08x", ft->path, pin->nr, pin->crc);
		ti->error = "The file's extents are not those of the table";
		return -ESTALE;
	}
	if (ti->len > pin->sectors) {
		DMERR("%s: %llu sectors can be used", ft->path, pin->sectors);
		ti->error = "The file is shorter";
		return -EINVAL;
	}
	return 0;
}

static void release_work(struct work_struct *work)
{
	struct file_target *ft = container_of(work, struct file_target, release);

	if (ft->file)
		put_file(ft->file);
	kfree(ft->path);
	kfree(ft);
}

static void file_release(struct file_target *ft)
{
	INIT_WORK(&ft->release, release_work);
	queue_work(release_wq, &ft->release);
}

static void file_dtr(struct dm_target *ti)
{
	leave_place(ti->private);
	file_release(ti->private);
}

static int file_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct file_target *ft = kzalloc(sizeof(*ft), GFP_KERNEL);
	int r;

	if (!ft) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	r = parse_arguments(ti, argc, argv, ft);
	if (!r)
		r = find_file(ti, ft);
	if (!r)
		r = check_file(ti, ft);
	if (!r)
		r = take_place(ti, ft);
	if (r) {
		file_release(ft);
		return r;
	}
	ti->private = ft;
	ti->num_flush_bios = 1;
	ti->flush_supported = true;
	return 0;
}

/* ---- status ------------------------------------------------------------- */

/*
 * As in /proc/mounts: \ooo for what would end a word, and for a backslash, which
 * libdevmapper doubles on its way to us.
 */
static unsigned int emit_path(const char *path, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	for (; *path; path++) {
		if (isspace(*path) || *path == '\\')
			DMEMIT("\\%03o", (u8)*path);
		else
			DMEMIT("%c", *path);
	}
	return sz;
}

static void emit_table(const struct file_target *ft, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT("%u:%u ", MAJOR(ft->dev), MINOR(ft->dev));
	sz += emit_path(ft->path, result + sz, maxlen - sz);
	if (ft->has_extents)
		DMEMIT(" 3 extents %u %08x", ft->nr_extents, ft->crc);
}

static void file_status(struct dm_target *ti, status_type_t type,
			unsigned int status_flags, char *result, unsigned int maxlen)
{
	const struct file_target *ft = ti->private;
	const struct snap_pin *pin = &ft->file->pin;
	const struct inode *inode = file_inode(pin->file);
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		DMEMIT("%u %08x %llu %s %u:%u %lu", pin->nr, pin->crc, pin->sectors,
		       ft->file->origin ? "origin" : "device",
		       MAJOR(inode->i_sb->s_dev), MINOR(inode->i_sb->s_dev), inode->i_ino);
		break;
	case STATUSTYPE_TABLE:
		emit_table(ft, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device=%u:%u,extents=%u,crc32c=%08x;", MAJOR(ft->dev),
		       MINOR(ft->dev), pin->nr, pin->crc);
		break;
	}
}

/* There is no struct dm_dev whose limits could be looked up. */
static void file_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	const struct snap_file *file = ((struct file_target *)ti->private)->file;

	blk_stack_limits(limits, &bdev_get_queue(file->bdev)->limits, 0);
}

static struct target_type snap_file_target_type = {
	.name = "blksnap-file",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = file_ctr,
	.dtr = file_dtr,
	.map = file_map,
	.status = file_status,
	.io_hints = file_io_hints,
};

int __init snap_file_init(void)
{
	int r;

	release_wq = alloc_workqueue("blksnap-file", 0, 0);
	if (!release_wq)
		return -ENOMEM;
	r = dm_register_target(&snap_file_target_type);
	if (r)
		destroy_workqueue(release_wq);
	return r;
}

void snap_file_exit(void)
{
	dm_unregister_target(&snap_file_target_type);
	destroy_workqueue(release_wq);
}
