#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# What the first tester of a backup-on-write target did in 2018, and what then
# hit a BUG: a small ext4 with blocks of 1 KiB, read-only, trimmed, checkpointed.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

carve raw 64M
raw=/dev/mapper/raw
mke2fs -q -F -t ext4 -b 1024 $raw
mount $raw $mnt
fill $mnt
umount $mnt

for mode in ro rw; do
	step "mounted $mode"
	plain_create x $raw
	mount -o $mode /dev/mapper/x $mnt
	manifest $mnt >$work/before
	fstrim $mnt
	free=$(($(field x 4) * 4))
	[ $free -gt 20000 ] || die "only $free KiB were collected"
	plain_checkpoint x
	field_is x 1 checkpoint || die "no checkpoint"
	[ $mode = ro ] || churn $mnt
	umount $mnt
	dmsetup remove x

	! mount -t ext4 -o ro $raw $mnt 2>/dev/null || die "mounted past the log"
	roll_back $raw
	check_fs ext4 $raw
	mount -o ro $raw $mnt
	same $mnt $work/before
	umount $mnt
done

step "the same again, read-only from the start, and given up"
blockdev --setro $raw
! plain_create x $raw 2>/dev/null || step "a read-only device is taken"
dmsetup remove x 2>/dev/null || :
blockdev --setrw $raw
plain_create x $raw
mount -o ro /dev/mapper/x $mnt
fstrim $mnt
plain_checkpoint x
umount $mnt
dmsetup message x 0 commit
dmsetup remove x
check_fs ext4 $raw
mount -o ro $raw $mnt
same $mnt $work/before
