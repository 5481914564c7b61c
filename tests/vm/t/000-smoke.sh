#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The harness itself: disks, device-mapper nodes, counters, programs.

. /tests/lib.sh

is "$(sectors "$D1")" 2097152 "size of $D1"
is "$(sectors "$D_ODD")" 131075 "size of $D_ODD"
is "$(blk_limit "$D_4K" logical_block_size)" 4096 "blocks of $D_4K"
is "$(blk_limit "$D1" write_cache)" "write back" "write cache"

step "device-mapper"
modprobe dm-mod
dm_create smoke "0 8192 linear $D2 2048"
head -c 4M /dev/urandom >/tmp/data
writes=$(blk_stat "$D2" wsectors)
dd if=/tmp/data of=/dev/mapper/smoke bs=64k oflag=direct conv=fsync status=none
is $(($(blk_stat "$D2" wsectors) - writes)) 8192 "sectors written"
dd if="$D2" of=/tmp/back bs=1M skip=1 count=4 iflag=direct status=none
ok "data went through" cmp /tmp/data /tmp/back
not cmp -s /tmp/data "$D2"
blkdiscard /dev/mapper/smoke
ok "discarded data reads as zeroes" cmp -n 4194304 /dev/zero "$D2"
dm_remove smoke
dm_wait_removed smoke
not dmsetup info smoke 2>/dev/null

step "filesystems"
for fs in ext4 xfs f2fs vfat btrfs; do
	case $fs in
	ext4)	mke2fs -q -F -t ext4 "$D3" ;;
	vfat)	mkfs.vfat "$D3" >/dev/null ;;
	*)	mkfs.$fs -f "$D3" >/dev/null ;;
	esac
	mount -t "$fs" "$D3" /mnt
	echo hello >/mnt/hello
	sync -f /mnt
	fstrim /mnt
	umount /mnt
done

step "modules of the project"
for m in dm-cow dm-bow; do
	[ -e "/lib/modules/$(uname -r)/extra/$m.ko" ] || continue
	ok "$m loads" modprobe $m
done
