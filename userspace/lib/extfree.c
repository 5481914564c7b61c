// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Free blocks from the bitmaps of an unmounted ext2/3/4, offered as discards.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "extfree.h"

static int discard(int fd, const char *path, u64 start, u64 len)
{
	u64 range[2] = { start, len };

	if (!ioctl(fd, BLKDISCARD, range))
		return 0;
	return fail(BOW_SYSTEM, "%s: discard of %llu bytes at %llu: %s", path,
		    (unsigned long long)len, (unsigned long long)start,
		    strerror(errno));
}

/* The end of the run of used or free blocks that @block is in. */
static u64 run_end(ext2_filsys fs, u64 block, bool used)
{
	u64 end = ext2fs_blocks_count(fs->super);
	u64 step = (u64)EXT2FS_CLUSTER_RATIO(fs);

	while (block < end &&
	       !!ext2fs_test_block_bitmap2(fs->block_map, block) == used)
		block += step;
	return min(block, end);
}

static int discard_free(ext2_filsys fs, int fd, const char *path, u64 *discarded)
{
	u64 end = ext2fs_blocks_count(fs->super);
	u64 block = fs->super->s_first_data_block;
	int status = 0;

	while (!status && block < end) {
		u64 start = run_end(fs, block, true);

		block = run_end(fs, start, false);
		if (block == start)
			break;
		status = discard(fd, path, start * fs->blocksize,
				 (block - start) * fs->blocksize);
		*discarded += (block - start) * fs->blocksize;
	}
	return status;
}

/* Bitmaps tell the truth only if nothing is left in the journal. */
static int check_clean(ext2_filsys fs, const char *path)
{
	if ((fs->super->s_state & EXT2_VALID_FS) &&
	    !(fs->super->s_state & EXT2_ERROR_FS) &&
	    !ext2fs_has_feature_journal_needs_recovery(fs->super))
		return BOW_OK;
	return fail(BOW_REFUSED, "%s: the filesystem is not clean: 'e2fsck %s' first, or mount it and trim it so",
		    path, path);
}

static int open_fs(const char *path, ext2_filsys *fs)
{
	errcode_t err = ext2fs_open(path, EXT2_FLAG_64BITS, 0, 0,
				    unix_io_manager, fs);
	int status;

	if (err)
		return fail(BOW_SYSTEM, "%s: %s", path, error_message(err));
	status = check_clean(*fs, path);
	if (!status) {
		err = ext2fs_read_block_bitmap(*fs);
		if (err)
			status = fail(BOW_SYSTEM, "%s: bitmaps: %s", path,
				      error_message(err));
	}
	if (status)
		ext2fs_free(*fs);
	return status;
}

static bool is_ext(const char *path)
{
	char *type = blkid_get_tag_value(NULL, "TYPE", path);
	bool ext = type && !strncmp(type, "ext", 3);

	free(type);
	return ext;
}

static int discard_opened(int fd, const char *path, u64 *discarded, u64 *free)
{
	ext2_filsys fs;
	int status;

	if (!is_ext(path))
		return fail(BOW_REFUSED, "%s is not mounted and holds no ext2, ext3 or ext4: mount it first",
			    path);
	status = open_fs(path, &fs);
	if (status)
		return status;
	*free = ext2fs_free_blocks_count(fs->super) * fs->blocksize;
	status = discard_free(fs, fd, path, discarded);
	ext2fs_free(fs);
	return status;
}

int extfree_discard(const char *name, u64 *discarded, u64 *free)
{
	char path[PATH_MAX];
	int fd, status;

	*discarded = *free = 0;
	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	/* Exclusive: nobody is to mount it meanwhile. */
	fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		return fail(errno == EBUSY ? BOW_REFUSED : BOW_SYSTEM,
			    "%s: %s", path, strerror(errno));
	status = discard_opened(fd, path, discarded, free);
	close(fd);
	return status;
}
