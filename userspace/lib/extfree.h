/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The free blocks of an unmounted ext2, ext3 or ext4.
 */
#ifndef BOW_EXTFREE_H
#define BOW_EXTFREE_H

#include "dm-cow-env.h"

/*
 * Discard on the dm device @name what the bitmaps of its filesystem say is
 * free. @discarded and @free: in bytes. 0 or an exit status, with the reason
 * told.
 */
int extfree_discard(const char *name, u64 *discarded, u64 *free);

#endif
