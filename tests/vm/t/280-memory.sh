#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# After all is removed the modules can be unloaded, and leave no memory, no
# bioset, no thread and no device behind.

# shellcheck source=/dev/null
. /tests/t/2fs.inc
# shellcheck source=/dev/null
. /tests/t/2mem.inc

carve raw 32M
raw=/dev/mapper/raw
make_fs ext4 $raw
mount $raw $mnt
fill $mnt
umount $mnt

use() { # a whole life
	modprobe dm-bow
	bow create x $raw >/dev/null
	mount /dev/mapper/x $mnt
	bow trim x >/dev/null
	bow checkpoint x >/dev/null
	rm -rf "$mnt/tree"
	cp $mnt/big/noise "$mnt/noise-$1"
	sync -f $mnt
	umount $mnt
	bow remove x 2>/dev/null
	bow create --resume x $raw >/dev/null
	bow remove x 2>/dev/null
	roll_back $raw
	# and what fails
	! dmsetup create x --table "0 8 bow $raw" 2>/dev/null
	! dmsetup create x --table "0 65536 bow $raw 1 perhaps" 2>/dev/null
	dmsetup create x --table "0 65536 bow $raw"
	! dmsetup message x 0 checkpoint 2>/dev/null
	dmsetup suspend x
	! dmsetup message x 0 checkpoint 2>/dev/null
	dmsetup resume x
	dmsetup remove x
	unload
}

# 32 MiB of device are 8192 blocks, a map of 2 KiB; what is kept about free space and
# backups is more.
lives 6 1500
