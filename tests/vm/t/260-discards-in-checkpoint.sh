#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# FITRIM, and a filesystem mounted with discard, during a checkpoint: discards
# take nothing away that a rollback needs.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

round() { # FILESYSTEM SIZE
	local dev=/dev/mapper/raw-$1 before off=nodiscard

	# It has no such option, and cannot be told later.
	[ "$1" != vfat ] || off=discard

	step "$1"
	carve "raw-$1" "$2"
	make_fs "$1" "$dev"
	bow create x "$dev" >/dev/null
	mount -t "$1" -o $off /dev/mapper/x $mnt
	fill $mnt
	exits 0 bow trim x
	[ "$1" = btrfs ] || ! grep -q only <<<"$out" || die "$out"
	sync -f $mnt
	manifest $mnt >$work/before
	bow checkpoint x 2>/dev/null
	[ "$1" = vfat ] || mount -o remount,discard $mnt
	before=$(discards)
	rm -r $mnt/tree
	rm $mnt/big/noise
	sync -f $mnt
	exits 16 bow trim x
	says 'what is trimmed now is not collected'
	[ "$1" = vfat ] || mount -o remount,nodiscard $mnt
	fstrim $mnt || [ "$1" = f2fs ]
	[ "$(discards)" -gt "$before" ] || die "$1 discarded nothing"
	# what was discarded is taken again
	cp -r $mnt/big $mnt/big2
	churn $mnt
	fstrim $mnt || [ "$1" = f2fs ]
	umount $mnt
	bow remove x 2>/dev/null
	roll_back "$dev"
	check_fs "$1" "$dev"
	mount -t "$1" -o ro "$dev" $mnt
	same $mnt $work/before
	umount $mnt
}

discards() {
	local stat

	read -ra stat <"$(stats x)"
	echo "${stat[11]}"
}

round ext4 64M
round f2fs 128M
round vfat 64M
round btrfs 256M

step "the raw device: discards of everything, in checkpoint"
carve raw 32M
raw=/dev/mapper/raw
make_fs ext4 $raw
mount $raw $mnt
fill $mnt
manifest $mnt >$work/before
umount $mnt
bow create x $raw >/dev/null
bow trim x
bow checkpoint x
blkdiscard -f /dev/mapper/x 2>/dev/null
blkdiscard -f -o 1024 -l 65536 /dev/mapper/x 2>/dev/null || :
mount /dev/mapper/x $mnt
same $mnt $work/before
umount $mnt
bow remove x 2>/dev/null
roll_back $raw
check_fs ext4 $raw
mount -o ro $raw $mnt
same $mnt $work/before
