#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
# timeout: 600
# shellcheck disable=SC2046,SC2086,SC2154,SC2251
#
# Images of filesystems, mounted to be written to as well: they show what was there
# at the take, their recovery included, and what is written to one is its own. While
# the origin is written to, too, and if the filesystem encrypts what it has.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

options() { # TYPE
	case $1 in
	xfs)	echo -o nouuid ;;
	esac
}

begin() { # MEGABYTES
	dmsetup create under --table "0 $(($1 * 2048)) linear $D1 0"
	wipefs -qa /dev/mapper/under
	exits 0 blksnap attach --create o /dev/mapper/under
}

writes_of() {
	awk '{ print $5 }' "$(stats $1)"
}

# What recovery would write to an image it must not need to be read.
read_only() { # TYPE
	case $1 in
	ext4)	echo ro,noload ;;
	xfs)	echo ro,norecovery,nouuid ;;
	f2fs)	echo ro,norecovery ;;
	*)	echo ro ;;
	esac
}

# Mounted anew, so that it is read again. Has the origin been written to meanwhile?
same_under_writes() { # IMAGE TYPE
	local writes

	writes=$(writes_of o)
	mount -t $2 -o $(read_only $2) /dev/mapper/$1 $image
	same $image $work/manifest
	umount $image
	[ "$(writes_of o)" -gt $writes ]
}

filesystem() { # TYPE MEGABYTES
	local type=$1 n writer

	begin $2
	make_fs $type /dev/mapper/o
	mount -t $type /dev/mapper/o $mnt
	fill $mnt
	sync -f $mnt
	manifest $mnt >$work/manifest
	for n in 1 2; do
		exits 0 blksnap take -n $n --block-size 4K --store $store o
	done
	# Never two btrfs of the same at a time, see the man page.
	if [ $type != btrfs ]; then
		: >$work/go
		while [ -e $work/go ]; do
			churn $mnt
		done &
		writer=$!
		for n in 1 2; do
			until_true same_under_writes o-$n $type
		done
		rm $work/go
		wait $writer
	else
		churn $mnt
	fi
	if [ $type = btrfs ]; then
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

# A directory that the filesystem encrypts, and one that it does not, for comparison.
add_key() { # MOUNT POINT
	head -c 64 /dev/zero | tr '\0' k | xfs_io -c add_enckey $1 | sed -n 's/.*identifier //p'
}

has() { # DEVICE WORD
	grep -aq $2 $1
}

encrypted() {
	local key n

	begin 48
	mke2fs -q -F -t ext4 -b 4096 -O encrypt /dev/mapper/o
	mount /dev/mapper/o $mnt
	mkdir $mnt/open $mnt/secret
	key=$(add_key $mnt)
	xfs_io -c "set_encpolicy -v 2 $key" $mnt/secret
	fill $mnt/secret
	head -c 100000 < <(yes overt-words) >$mnt/open/file
	head -c 100000 < <(yes secret-words) >$mnt/secret/file
	sync -f $mnt
	manifest $mnt >$work/manifest
	exits 0 blksnap take -n 1 --block-size 4K --store $store o
	churn $mnt/secret
	for n in open secret; do
		dd if=/dev/urandom of=$mnt/$n/file bs=100000 count=1 conv=notrunc,fsync status=none
	done
	[ "$(dmsetup status o-1 | cut -d' ' -f7)" -gt 50 ] || die "little was kept: $(dmsetup status o-1)"
	# What the targets get is encrypted, and so is what they keep.
	for n in o-1 o; do
		blockdev --flushbufs /dev/mapper/$n
		not has /dev/mapper/$n secret-words
	done
	head -c 64M $store >$work/kept
	not has $work/kept secret-words
	has $work/kept overt-words || die "nothing is found in the store"
	has /dev/mapper/o-1 overt-words || die "nothing is found in the image"
	rm $work/kept
	mount /dev/mapper/o-1 $image
	[ ! -e $image/secret/file ] || die "names can be read without the key"
	is "$(add_key $image)" $key "the key"
	same $image $work/manifest
	churn $image/secret 5
	umount $image
	check_fs ext4 /dev/mapper/o-1
	exits 0 blksnap remove 1
	umount $mnt
	check_fs ext4 /dev/mapper/o
	exits 0 blksnap detach o
	dmsetup remove under
	step "ext4 with encryption"
}

filesystem ext4 48
encrypted
filesystem btrfs 128
# To save time one more of them is written to while it is compared.
filesystem vfat 48
if long; then
	filesystem xfs 320
	filesystem f2fs 64
fi
