#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
# timeout: 600
# shellcheck disable=SC2046,SC2086,SC2154,SC2251
#
# Images of filesystems, mounted to be written to as well: they show what was there
# at the take, their recovery included, and what is written to one is its own.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

options() { # TYPE
	case $1 in
	xfs)	echo -o nouuid ;;
	esac
}

filesystem() { # TYPE MEGABYTES
	local type=$1 n

	dmsetup create under --table "0 $(($2 * 2048)) linear $D1 0"
	wipefs -qa /dev/mapper/under
	exits 0 blksnap attach --create o /dev/mapper/under
	make_fs $type /dev/mapper/o
	mount -t $type /dev/mapper/o $mnt
	fill $mnt
	sync -f $mnt
	manifest $mnt >$work/manifest
	for n in 1 2; do
		exits 0 blksnap take -n $n --block-size 4K --store $store o
	done
	churn $mnt
	if [ $type = btrfs ]; then
		# Never two of the same at a time, see the man page.
		umount $mnt
		btrfs device scan --forget
	fi
	for n in 1 2; do
		mount -t $type $(options $type) /dev/mapper/o-$n $image
		same $image $work/manifest
		churn $image 5
		[ $type = btrfs ] || churn $mnt 2$n
		umount $image
		[ $type != btrfs ] || btrfs device scan --forget
	done
	# The other one has not seen it, and is as good as new.
	mount -t $type $(options $type) /dev/mapper/o-1 $image
	[ -e $image/unpacked-5 ] || die "what was written to the image is gone"
	umount $image
	check_fs $type /dev/mapper/o-2
	exits 0 blksnap remove 2 1
	[ $type = btrfs ] || umount $mnt
	check_fs $type /dev/mapper/o
	exits 0 blksnap detach o
	dmsetup remove under
	step "$type"
}

filesystem ext4 48
filesystem btrfs 128
if long; then
	filesystem vfat 48
	filesystem xfs 320
	filesystem f2fs 64
fi
