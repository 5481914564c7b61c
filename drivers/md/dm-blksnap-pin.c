// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files pinned as swap files are.
 *
 * The filesystem's own swap_activate() checks what cannot be mapped and tells its
 * extents; S_SWAPFILE keeps everybody off. It is given a swap_info_struct that the
 * kernel's swap code never hears of.
 */
#include <linux/blkdev.h>
#include <linux/crc32c.h>
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include "dm-blksnap-pin.h"

#define PAGE_TO_SECTOR(page) ((u64)(page) << (PAGE_SHIFT - SECTOR_SHIFT))

/* Those whose extents are places on the one device below them. */
static bool is_trusted(const struct super_block *sb)
{
	return sb->s_bdev && (sb->s_magic == EXT4_SUPER_MAGIC ||
			      sb->s_magic == XFS_SUPER_MAGIC ||
			      sb->s_magic == F2FS_SUPER_MAGIC);
}

static unsigned int count_extents(const struct swap_info_struct *sis)
{
	struct rb_node *node;
	unsigned int nr = 0;

	for (node = rb_first(&sis->swap_extent_root); node; node = rb_next(node))
		nr++;
	return nr;
}

static void add_to_crc(struct snap_pin *pin, u64 place, u64 sectors)
{
	__le64 pair[2] = { cpu_to_le64(place), cpu_to_le64(sectors) };

	pin->crc = crc32c(pin->crc, pair, sizeof(pair));
}

static int copy_extents(struct snap_pin *pin, const struct swap_info_struct *sis)
{
	u64 size = bdev_nr_sectors(sis->bdev);
	struct rb_node *node;

	pin->nr = 0;
	pin->sectors = 0;
	pin->crc = ~0U;
	pin->extents = kvmalloc_array(count_extents(sis), sizeof(*pin->extents),
				      GFP_KERNEL);
	if (!pin->extents)
		return -ENOMEM;
	for (node = rb_first(&sis->swap_extent_root); node; node = rb_next(node)) {
		struct swap_extent *se = rb_entry(node, struct swap_extent, rb_node);
		u64 sectors = PAGE_TO_SECTOR(se->nr_pages);
		u64 place = PAGE_TO_SECTOR(se->start_block);

		/* On a second device, where a filesystem puts its devices in a row. */
		if (place > size || sectors > size - place)
			return -EINVAL;
		pin->extents[pin->nr++] = (struct snap_extent) {
			.start = pin->sectors,
			.place = place,
		};
		add_to_crc(pin, place, sectors);
		pin->sectors += sectors;
	}
	return 0;
}

static void free_swap_info(struct swap_info_struct *sis)
{
	struct rb_node *node;

	while ((node = rb_first(&sis->swap_extent_root))) {
		rb_erase(node, &sis->swap_extent_root);
		kfree(rb_entry(node, struct swap_extent, rb_node));
	}
	kvfree(sis);
}

static void deactivate(struct file *file)
{
	const struct address_space_operations *ops = file->f_mapping->a_ops;

	if (ops->swap_deactivate)
		ops->swap_deactivate(file);
}

/* The inode is locked. */
static int activate(struct snap_pin *pin, struct swap_info_struct *sis)
{
	struct inode *inode = file_inode(pin->file);
	sector_t span;
	int r;

	if (IS_SWAPFILE(inode))
		return -ETXTBSY;
	r = pin->file->f_mapping->a_ops->swap_activate(sis, pin->file, &span);
	if (r < 0)
		return r;
	/* A realtime file of xfs is on a device of its own. */
	if (sis->flags & SWP_FS_OPS || sis->bdev != inode->i_sb->s_bdev ||
	    RB_EMPTY_ROOT(&sis->swap_extent_root))
		r = -EINVAL;
	else
		r = copy_extents(pin, sis);
	if (r) {
		deactivate(pin->file);
		return r;
	}
	inode->i_flags |= S_SWAPFILE;
	/* What is on its way to these blocks must not come after what we write. */
	inode_dio_wait(inode);
	r = filemap_write_and_wait(inode->i_mapping);
	if (r) {
		inode->i_flags &= ~S_SWAPFILE;
		deactivate(pin->file);
	}
	return r;
}

static int read_and_hold(struct snap_pin *pin)
{
	struct inode *inode = file_inode(pin->file);
	struct swap_info_struct *sis;
	int r;

	sis = kvzalloc(struct_size(sis, avail_lists, nr_node_ids), GFP_KERNEL);
	if (!sis)
		return -ENOMEM;
	sis->bdev = inode->i_sb->s_bdev;
	sis->swap_extent_root = RB_ROOT;
	inode_lock(inode);
	sis->max = min_t(u64, i_size_read(inode) >> PAGE_SHIFT, UINT_MAX);
	r = activate(pin, sis);
	inode_unlock(inode);
	free_swap_info(sis);
	return r;
}

static int check_file(const struct file *file)
{
	const struct inode *inode = file_inode(file);

	if (!S_ISREG(inode->i_mode))
		return -EINVAL;
	if (!is_trusted(inode->i_sb) || inode != file->f_mapping->host ||
	    !file->f_mapping->a_ops->swap_activate || IS_ENCRYPTED(inode))
		return -EOPNOTSUPP;
	return 0;
}

struct file *snap_pin_open(const char *path)
{
	return filp_open(path, O_RDONLY | O_LARGEFILE | O_NOFOLLOW, 0);
}

int snap_pin_get(struct snap_pin *pin, struct file *file)
{
	int r = check_file(file);

	pin->file = file;
	pin->extents = NULL;
	/* Whoever has it open for writing could have mapped it. */
	if (!r)
		r = deny_write_access(file);
	if (!r) {
		r = read_and_hold(pin);
		if (r)
			allow_write_access(file);
	}
	if (r) {
		kvfree(pin->extents);
		fput(file);
	}
	return r;
}

void snap_pin_put(struct snap_pin *pin)
{
	struct inode *inode = file_inode(pin->file);

	inode_lock(inode);
	inode->i_flags &= ~S_SWAPFILE;
	inode_unlock(inode);
	deactivate(pin->file);
	allow_write_access(pin->file);
	fput(pin->file);
	kvfree(pin->extents);
}

u64 snap_pin_find(const struct snap_pin *pin, u64 sector, u64 *left)
{
	unsigned int low = 0, high = pin->nr;

	/* The last extent that begins at or before it. */
	while (high - low > 1) {
		unsigned int middle = low + (high - low) / 2;

		if (pin->extents[middle].start <= sector)
			low = middle;
		else
			high = middle;
	}
	sector -= pin->extents[low].start;
	*left = snap_extent_sectors(pin, low) - sector;
	return pin->extents[low].place + sector;
}
