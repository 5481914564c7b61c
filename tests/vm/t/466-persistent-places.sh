#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 900
# shellcheck disable=SC2015,SC2086,SC2154,SC2251
#
# Persistent snapshots in files whose place is an odd one: between pages, on an origin
# that is rolled back itself, on their own origin when that has been mounted since, or
# gets another table.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

other=$work/other f="$work/other/a store"
mkdir -p $other $work/cut

no_file_devices() {
	dmsetup ls --target blksnap-file | sed '/^No devices/d' | cut -f1 |
		xargs -r -n 1 dmsetup remove --retry
}

gone() { # DEVICE...
	local d

	for d in "$@"; do
		dmsetup remove --retry $d
	done
	no_file_devices
}

noise() { # BLOCKS FIRST
	dd if=/dev/urandom of=/dev/mapper/o bs=4k count=$1 seek=$2 oflag=direct status=none
}

rolled_back() {
	dd if=$low bs=1M iflag=direct status=none | cmp - $work/want || die "$low is not what was there"
}

size=32768
dmsetup create low --table "0 $size linear $D1 1310720"
low=/dev/mapper/low
dd if=/dev/urandom of=$low bs=1M oflag=direct status=none 2>/dev/null || :
dd if=$low of=$work/want bs=1M iflag=direct status=none
exits 0 blksnap attach --create o $low
[ "$(dmsetup status o | cut -d' ' -f10)" -lt 1000000000 ] || die "memory: $(dmsetup status o)"

for bytes in 1024 2048; do
	step "on a filesystem with blocks of $bytes bytes"
	dmsetup create other --table "0 131072 linear $D2 0"
	mke2fs -q -F -t ext4 -b $bytes /dev/mapper/other
	mount /dev/mapper/other $other
	# So that not all begin where a page does.
	fallocate -l $bytes $other/odd
	exits 0 blksnap take --persistent -n one --store "$f" --size 8M o
	noise 100 3
	minor=$(dmsetup info -c --noheadings -o minor "$(dmsetup ls --target blksnap-file | cut -f1)")
	is "$(cat /sys/block/dm-$minor/queue/write_cache)" "write back" "the cache of the store"
	gone o-one o
	exits 1 blksnap check --store "$f" $low
	says 'good snapshot'
	exits 1 blksnap restore --store "$f" $low
	rolled_back
	until_true umount $other
	dmsetup remove --retry other
	exits 0 blksnap attach --create o $low
done

step "on an origin that is rolled back itself"
dmsetup create two --table "0 131072 linear $D2 0"
exits 0 blksnap attach --create p /dev/mapper/two
make_fs ext4 /dev/mapper/p
mount /dev/mapper/p $other
exits 0 blksnap take --persistent -n one --store "$f" --size 8M o
not blksnap take --persistent -n no --store $D_SMALL --force p 2>/dev/null
noise 9 3
gone o-one o
exits 0 blksnap take --persistent -n two --store $D_SMALL --force p
exits 0 blksnap attach --create o $low
exits 16 blksnap resume -n one --store "$f" o
says 'which has a persistent snapshot'
exits 16 blksnap restore --store "$f" $low
exits 16 blksnap take --persistent -n no --store $other/new --size 8M o
says 'which has a persistent snapshot'
[ ! -e $other/new ] || die "a file is left over"
exits 0 blksnap remove two
exits 0 blksnap resume -n one --store "$f" o
noise 9 99
gone o-one o
exits 1 blksnap restore --store "$f" $low
rolled_back
rm "$f"
umount $other
dmsetup create part --table "0 32768 linear /dev/mapper/p 0"
exits 0 blksnap attach --create o $low
exits 0 blksnap take --persistent -n one --store /dev/mapper/part --force o
exits 16 blksnap take --persistent -n no --store $D_SMALL --force p
says 'the store of o-one lies on p'
exits 0 blksnap remove one
exits 0 blksnap take --persistent -n two --store $D_SMALL --force p
exits 16 blksnap take --persistent -n no --store /dev/mapper/part --force o
says 'which has a persistent snapshot'
exits 0 blksnap remove two
gone o part
exits 0 blksnap detach p
dmsetup remove two

step "on its own origin, which gets another table"
dmesg -C
dmsetup remove --retry low
size=65536
dmsetup create low --table "0 $size linear $D1 1310720"
exits 0 blksnap attach --create o $low
make_tree /dev/mapper/o
exits 0 blksnap take --persistent -n one --store "$mnt/s" --size 8M o
change $mnt
dmsetup load o --table "0 $size linear $low 0"
dmsetup suspend o
dmsetup resume o
is "$(dmsetup status o-one | cut -d' ' -f4)" detached "the image"
! dmesg | grep 'NOT TRUE ANY MORE' || die "a log that had been erased is said to be there"
gone o-one
until_true umount $mnt
dmsetup remove --retry o

step "on its own origin, which has been mounted since"
exits 0 blksnap attach --create o $low
make_tree /dev/mapper/o
exits 0 blksnap take --persistent -n one --store "$mnt/s" --size 8M o
at=$(($(extents_of $mnt/s | awk 'NR == 1 { print $1 }') / 512))
change $mnt
dmsetup suspend --noflush --nolockfs low
dd if=$D1 of=$D1 bs=1M skip=640 seek=740 count=32 iflag=direct oflag=direct status=none
dmsetup resume low
dmsetup create cut --table "0 $size linear $D1 $((740 << 11))"
exits 0 blksnap attach --create c /dev/mapper/cut
mount /dev/mapper/c $work/cut
exits 16 blksnap take --persistent -n no --store $work/cut/s c
says 'never restore it'
dd if=/dev/zero of=$work/cut/s bs=4096 count=1 conv=notrunc,fsync status=none
rm $work/cut/s
umount $work/cut
exits 0 blksnap detach c
exits 0 blksnap check --sector $at /dev/mapper/cut
dmsetup remove cut
exits 0 blksnap remove one
