#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 900
# shellcheck disable=SC2015,SC2086,SC2154,SC2251
#
# Persistent snapshots in files: on another filesystem, after a reboot and after a crash;
# what is refused.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

other=$work/other f="$work/other/a store"
mkdir -p $other $work/cut
size=32768
dmsetup create low --table "0 $size linear $D1 1310720"
low=/dev/mapper/low

same() { # IMAGE
	blockdev --flushbufs /dev/mapper/$1
	dd if=/dev/mapper/$1 bs=1M iflag=direct status=none | cmp - $work/want ||
		die "the image $1 is not what was there"
}

rolled_back() { # DEVICE
	blockdev --flushbufs $1
	dd if=$1 bs=1M iflag=direct status=none | cmp - $work/want ||
		die "$1 is not what was there"
}

file_devices() {
	dmsetup ls --target blksnap-file | sed '/^No devices/d' | cut -f1
}

# What was there goes on the disk, and nothing of it is left in memory.
reboot_by_hand() { # IMAGE
	! grep -q " $mnt " /proc/mounts || umount $mnt
	dmsetup remove --retry $1
	dmsetup remove --retry o
	file_devices | xargs -r -n 1 dmsetup remove --retry
	no_files
	until_true umount $other
	mount /dev/mapper/other $other
}

# The disks as a power cut leaves them at this moment, as cut-low and cut-other.
crash() {
	local d

	for d in low other; do
		dmsetup suspend --noflush --nolockfs $d
	done
	dd if=$D1 of=$D1 bs=1M skip=640 seek=740 count=16 iflag=direct oflag=direct status=none
	dd if=$D2 of=$D2 bs=1M seek=512 count=$((other_size >> 11)) iflag=direct \
		oflag=direct status=none
	for d in other low; do
		dmsetup resume $d
	done
	dmsetup create cut-low --table "0 $size linear $D1 $((740 << 11))"
	dmsetup create cut-other --table "0 $other_size linear $D2 $((512 << 11))"
}

make_origin() {
	exits 0 blksnap attach --create o $low
	make_tree /dev/mapper/o
	umount $mnt
	dd if=$low of=$work/want bs=1M iflag=direct status=none
}

make_other() { # TYPE
	other_size=262144
	[ $1 = ext4 ] || other_size=655360
	dmsetup create other --table "0 $other_size linear $D2 0"
	make_fs $1 /dev/mapper/other
	mount /dev/mapper/other $other
}

# Another snapshot in another file comes and goes: what nobody needs is swept then.
come_and_go() {
	dmsetup create few --table "0 8192 linear $D_SMALL 0"
	exits 0 blksnap attach --create p /dev/mapper/few
	exits 0 blksnap take -n x --store $other/x --size 2M p
	exits 0 blksnap remove x
	[ ! -e $other/x ] || die "$other/x is left over"
	exits 0 blksnap detach p
	dmsetup remove few
}

# Origin and image are gone and its device is still there: nobody takes it for left over.
left_behind() {
	umount $mnt
	dmsetup remove --retry o-one
	dmsetup remove --retry o
	come_and_go
	[ -e "$f" ] || die "the file of a snapshot was deleted"
	is "$(file_devices | wc -l)" 1 "devices of files"
	exits 1 blksnap check --store "$f" $low
	is "$(file_devices | wc -l)" 1 "devices of files, after a check"
	exits 0 blksnap attach --create o $low
	exits 0 blksnap resume -n one --store "$f" o
	same o-one
}

for fs in ext4 $([ "$VM_KERNEL" = 6.1 ] && echo f2fs || echo xfs); do
	nouuid=
	[ $fs != xfs ] || nouuid="-o nouuid"
	step "$fs: taken"
	make_other $fs
	make_origin
	exits 0 blksnap take --persistent --dry-run -n one --store "$f" --size 16M o
	[ ! -e "$f" ] || die "a dry run made a file"
	exits 0 blksnap take --persistent -n one --block-size 4K --store "$f" --size 16M o
	is "$(stat -c '%a %s' "$f")" "600 16777216" "the file"
	extents_of "$f" >$work/extents
	mount /dev/mapper/o $mnt
	change $mnt
	same o-one
	not rm -f "$f" 2>/dev/null
	exits 16 blksnap grow --size 32M "$f"
	says 'one file'
	exits 1 blksnap monitor --once --low-water 99% --limit 64M
	says 'cannot be made larger'
	exits 16 blksnap take -n two --store "$f" o
	exits 16 blksnap restore --store "$f" $low
	says 'in use|held by'
	[ $fs != ext4 ] || come_and_go

	[ $fs != ext4 ] || left_behind

	step "$fs: after a reboot"
	reboot_by_hand o-one
	is "$(extents_of "$f")" "$(cat $work/extents)" "the extents"
	[ $fs = f2fs ] || cmp -n 16777216 "$f" /dev/zero
	exits 1 blksnap check --store "$f" $low
	says 'good snapshot'
	exits 1 blksnap restore --dry-run --json --store "$f" $low
	says '"action":"rolled-back"'
	no_files
	exits 16 blksnap check --store "$f" /dev/mapper/other
	says 'is mounted'
	no_files
	exits 0 blksnap attach --create o $low
	exits 16 blksnap take --persistent -n two --store "$f" o
	says 'blksnap resume'
	exits 0 blksnap resume --dry-run -n again --store "$f" o
	no_files
	exits 0 blksnap resume -n again --store "$f" o
	same o-again
	mount /dev/mapper/o $mnt
	change $mnt
	same o-again

	step "$fs: after a crash"
	crash
	mount $nouuid /dev/mapper/cut-other $work/cut
	expect 8 blksnap restore --stop-after 9 --store "$work/cut/a store" /dev/mapper/cut-low \
		2>/dev/null
	not umount $work/cut 2>/dev/null
	exits 1 blksnap check --json --store "$work/cut/a store" /dev/mapper/cut-low
	says '"state":"restoring"'
	exits 1 blksnap restore --store "$work/cut/a store" /dev/mapper/cut-low
	says 'interrupted restore was finished'
	rolled_back /dev/mapper/cut-low
	exits 0 blksnap check --store "$work/cut/a store" /dev/mapper/cut-low
	until_true umount $work/cut
	dmsetup remove cut-low
	dmsetup remove cut-other
	same o-again

	step "$fs: rolled back"
	reboot_by_hand o-again
	exits 1 blksnap restore --store "$f" $low
	rolled_back $low
	exits 0 blksnap check --store "$f" $low
	no_files
	rm "$f"
	until_true umount $other
	dmsetup remove other
done

step "what is refused"
make_other ext4
exits 0 blksnap attach --create o $low
head -c 4M /dev/urandom >$other/written
chmod 600 $other/written
exits 16 blksnap take --persistent --force -n no --store $other/written o
says 'written to as a file'
exits 16 blksnap resume --store $other/written o
says 'no snapshot in that store'
no_files
exits 0 blksnap take -n two --store $other/shared --size 4M o
dmsetup create few --table "0 8192 linear $D_SMALL 0"
exits 0 blksnap attach --create p /dev/mapper/few
exits 16 blksnap take --persistent -n no --store $other/shared p
says 'store of other snapshots'
exits 0 blksnap remove two
exits 0 blksnap take --persistent -n one --store "$f" --size 8M o
reboot_by_hand o-one
chmod 644 "$f"
exits 0 blksnap attach --create o $low
exits 16 blksnap resume --store "$f" o
says 'others than root'
chmod 600 "$f"
dd if=/dev/urandom of="$f" bs=4k count=1 seek=1000 conv=notrunc,fsync status=none
exits 16 blksnap resume --store "$f" o
says 'written to as a file'

step "another file in the place of one that had a snapshot"
dd if=/dev/mapper/other of=$work/log bs=4096 count=1 iflag=direct status=none \
	skip=$(($(extents_of "$f" | awk 'NR == 1 { print $1 }') / 4096))
rm "$f"
# Wherever it will lie, that is what was there.
for _ in {1..256}; do
	cat $work/log
done >$work/logs
while cat $work/logs; do
	:
done >$other/logs 2>/dev/null
sync -f $other
rm $other/logs
sync -f $other
fallocate -l 8M $other/new
chmod 600 $other/new
exits 16 blksnap take -n no --store $other/new o
says 'carries a persistent snapshot'
rm $other/new
sync -f $other
exits 0 blksnap take -n new --store $other/new --size 8M o
exits 0 blksnap remove new

step "removed for good, with an image and without"
exits 0 blksnap take --persistent -n one --store "$f" --size 8M o
exits 0 blksnap remove one
[ ! -e "$f" ] || die "the file is left over"
exits 0 blksnap take --persistent -n one --store "$f" --size 8M o
dmsetup remove --retry o-one
exits 0 blksnap remove --all o
[ ! -e "$f" ] || die "the file is left over"
no_files

# ---- moved, while nobody guards it ---------------------------------------------------------

# In two pieces, and a snapshot in it; with as much free space before it.
taken_at_the_end() {
	fallocate -l 40M $other/piece1
	fallocate -l 4M "$f"
	fallocate -l 4M $other/piece2
	fallocate -l 8M "$f"
	chmod 600 "$f"
	dd if=$low of=$work/want bs=1M iflag=direct status=none
	exits 0 blksnap take --persistent -n one --block-size 4K --store "$f" o
	mount /dev/mapper/o $mnt
	change $mnt
	extents_of "$f" >$work/extents
	[ "$(wc -l <$work/extents)" -gt 1 ] || die "it is in one piece"
	reboot_by_hand o-one
}

has_moved() {
	sync -f $other
	extents_of "$f" >$work/now
	! cmp -s $work/extents $work/now || die "the file has not been moved"
}

umount $other
make_fs ext4 /dev/mapper/other
mount /dev/mapper/other $other
step "moved by a filesystem that is made smaller, with what is in it: as good as before"
taken_at_the_end
rm $other/piece?
umount $other
resize2fs -f -M /dev/mapper/other >/dev/null 2>&1
mount /dev/mapper/other $other
has_moved
exits 1 blksnap check --store "$f" $low
says 'good snapshot'
exits 0 blksnap attach --create o $low
exits 0 blksnap resume -n two --store "$f" o
same o-two
exits 0 blksnap remove two
rm -f "$f"
umount $other

step "moved through the filesystem, which sees nothing in it: nothing is there"
make_fs ext4 /dev/mapper/other
mount /dev/mapper/other $other
taken_at_the_end
rm $other/piece?
e4defrag "$f" >/dev/null
has_moved
exits 0 blksnap check --store "$f" $low
says 'no snapshot in that store'
exits 0 blksnap attach --create o $low
exits 16 blksnap resume -n two --store "$f" o
says 'no snapshot in that store'
rm "$f"

step "moved but for its beginning: refused"
taken_at_the_end
fallocate -p -o 64K -l 8128K "$f"
n=4096
while [ $n -gt 0 ]; do
	fallocate -l ${n}K $other/filler$n.$RANDOM 2>/dev/null || n=$((n / 2))
done
rm $other/piece1
fallocate -l 8M "$f"
has_moved
is "$(head -n 1 $work/now | cut -d' ' -f1)" "$(head -n 1 $work/extents | cut -d' ' -f1)" "where it begins"
sum=$(sum_of $low)
for command in check restore; do
	exits 4 blksnap $command --store "$f" $low
	says 'neither backup nor source match'
done
exits 0 blksnap attach --create o $low
exits 8 blksnap resume -n two --store "$f" o
says 'needs cleaning'
no_images
is "$(sum_of $low)" "$sum" "the origin"
