#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Discards: which blocks they make free, and that later ones change nothing.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

# ---- any size and alignment, overlapping, writes in between -----------------------

for bs in 4096 65536; do
	disk a 32
	load "$disk" block_size $bs
	bowio fill $D $W/old
	: >$W/free
	free=$(bowio trim -n 300 -s 512:400000 -S $bs -b $((bs / 512)) -F $W/free -r 0+65536 \
		-g 10 $D $W/old)
	[ "$(field free)" = "$free" ] || die "$bs: $(field free) blocks are free, not $free"
	ok "$bs: $free blocks are free"
	checkpoint
	cp $W/old $W/new
	# In trim state nothing was passed down: a write costs no copy of a free block.
	read -r written refused < <(bowio write -E -t 2 -n 40 -s 512:16384 -S 3 -g 1000 $D $W/new)
	[ "$written" -gt 20 ] || die "$bs: $refused refused"
	rollback "$disk"
	same "$bs: rolled back, all but free blocks" verify -b $((bs / 512)) -F $W/free "$disk" $W/old
	rm $W/free
	disk_gone a
done

# ---- from sector 0: blkdiscard and mkfs --------------------------------------------

disk a 32
FREE=16384+49152
load "$disk"
blkdiscard $D
[ "$(field free)" = "$(field blocks)" ] || die "blkdiscard: $(field free) of $(field blocks)"
checkpoint
bowio write -n 50 -s 4096 $D $W/new >/dev/null
dmsetup remove bow
expect 1 bow restore "$disk"
ok "blkdiscard of everything"

load "$disk"
mke2fs -q -F -t ext4 -E discard $D
[ "$(field free)" -gt 4000 ] || die "mkfs: $(field free) free"
e2fsck -fn $D >$W/out 2>&1 || die "mkfs: $(cat $W/out)"
bowio save $D $W/image
checkpoint
mke2fs -q -F -t ext2 -b 1024 -E nodiscard $D
dd if=/dev/urandom of=$D bs=64k count=50 seek=30 oflag=direct 2>/dev/null
rollback "$disk"
e2fsck -fn "$disk" >$W/out 2>&1 || die "mkfs, rolled back: $(cat $W/out)"
dumpe2fs -h "$disk" 2>/dev/null | grep -q "^Block size: *4096\|^Block size: *1024" || die "mkfs"
dumpe2fs -h "$disk" 2>/dev/null | grep -q has_journal || die "mkfs: not the first filesystem"
ok "mkfs from sector 0"
rm $W/image

# ---- discards and zeroes during a checkpoint ---------------------------------------

load "$disk"
bowio fill $D $W/old
bowio discard -r $FREE $D
checkpoint
cp $W/old $W/new
free=$(field free)
bowio discard -r 0+16384 -r 3+5 -r 16381+100 $D
blkdiscard $D
[ "$(field free)" = "$free" ] || die "a discard in a checkpoint: $(field free) free, were $free"
[ "$(field copies)" = 0 ] || die "a discard in a checkpoint: $(field copies) copies"
same "discards have no effect on the live view" verify -x $FREE $D $W/new
bowio zeroout -r 0+256 -r 1001+1 -r 2003+509 $D $W/new
same "zeroes: live view" verify -x $FREE $D $W/new
bowio discard -r 0+4096 $D
bowio write -n 30 -s 512:20000 -r 0+16384 -g 50 $D $W/new >/dev/null
same "live view" verify -x $FREE $D $W/new

# ---- commit, and a second checkpoint without new discards ---------------------------

dmsetup message bow 0 commit
[ "$(field state)" = committed ] || die "state $(field state)"
bowio write -n 20 -s 4096 -r 0+16384 -g 200 $D $W/new >/dev/null
# Some of free space is taken by the filesystem now, and must come back.
bowio write -q -n 100 -s 4096 -r 40000+800 -g 300 $D $W/new >/dev/null
taken=40000+800
suspended checkpoint
[ "$(field state)" = checkpoint ] || die "second: state $(field state)"
second=$(field free)
[ "$second" -gt $((free - 150)) ] && [ "$second" -lt "$free" ] ||
	die "second: $second blocks are free, $free were"
ok "a second checkpoint: $second blocks free, $free the first time"
cp $W/new $W/second
bowio write -t 3 -n 40 -s 512:20000 -S 9 -r 0+16384 -g 1000 $D $W/new >/dev/null
bowio write -n 100 -q -s 4096 -r $taken -g 2000 $D $W/new >/dev/null
bowio write -n 200 -q -s 4096 -r 16384+1600 -g 3000 $D $W/new >/dev/null
same "second: live view" verify -x 17984+22016 -x 40800+24736 $D $W/new
rollback "$disk"
same "second: rolled back" verify -x 16384+23616 -x 40800+24736 "$disk" $W/second
disk_gone a

# ---- a device that has secure erase: not offered, in no state -----------------------------

modprobe dm-secure
disk a 32
dmsetup create below --table "0 $(sectors "$disk") secure $disk"
blkdiscard --secure -l 1M /dev/mapper/below
load /dev/mapper/below
bowio fill $D $W/old
bowio discard -r 16384+49152 $D
for state in trim checkpoint committed; do
	case $state in
	checkpoint)	checkpoint ;;
	committed)	dmsetup message bow 0 commit ;;
	esac
	is "$(field state)" $state "state"
	not blkdiscard --secure -l 1M $D 2>$W/err
	grep -q 'not supported' $W/err || die "$state: $(cat $W/err)"
	bowio verify -x 16384+49152 $D $W/old
done
is "$(dmsetup status below | cut -d' ' -f4)" 1 "secure erases"
dmsetup remove bow
dmsetup remove below
disk_gone a
ok "secure erase is not offered" true
