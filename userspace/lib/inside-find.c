// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where on its origin's own device a store begins: what the filesystem there says.
 */
#include <ext2fs/ext2fs.h>

#include "command.h"
#include "inside.h"

static errcode_t first_block(ext2_filsys fs, const char *path, u64 *block)
{
	ext2_ino_t ino;
	blk64_t found = 0;
	int flags;
	errcode_t err = ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino);

	if (!err)
		err = ext2fs_bmap2(fs, ino, NULL, NULL, 0, 0, &flags, &found);
	if (!err && !found)
		err = EXT2_ET_FILE_NOT_FOUND;
	*block = found;
	return err;
}

int inside_find(const char *device, const char *path, u64 *sector)
{
	ext2_filsys fs;
	u64 block = 0;
	/* After a crash checksums of what changes all the time need not match. */
	errcode_t err = ext2fs_open(device, EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS,
				    0, 0, unix_io_manager, &fs);

	if (!err) {
		err = first_block(fs, path, &block);
		/* Only whole pages are used. */
		*sector = (block * (fs->blocksize >> 9) + COW_PAGE_SECTORS - 1) &
			  ~(u64)(COW_PAGE_SECTORS - 1);
		ext2fs_free(fs);
	}
	if (err)
		return fail(BOW_REFUSED, "%s: cannot find the file %s: %s; name the place instead, with --sector",
			    device, path, error_message(err));
	return BOW_OK;
}
