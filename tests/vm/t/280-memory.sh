#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# After all is removed the modules can be unloaded, and leave no memory, no
# bioset, no thread and no device behind.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

carve raw 32M
raw=/dev/mapper/raw
make_fs ext4 $raw
mount $raw $mnt
fill $mnt
umount $mnt

# Caches with their objects in use; bio-* are shared by biosets of one size.
unload() {
	modprobe -r dm-bow || die "dm-bow cannot be unloaded: $(lsmod)"
	! lsmod | grep -qE '^dm_(bow|cow) ' || die "still loaded: $(lsmod)"
	! grep -E '\[dm_(bow|cow)\]|(bow|cow)_' /proc/vmallocinfo || die "vmalloc memory is left"
	! awk '{ print $1 }' /proc/slabinfo | grep -iE '^(dm[-_])?(bow|cow)' || die "a slab is left"
	# A kworker only says whom it worked for last.
	! cat /proc/[0-9]*/comm 2>/dev/null | grep -v '^kworker' | grep -E 'dm[-_](bow|cow)' ||
		die "a thread is left"
}

caches() {
	awk '/^bio-|^biovec/ { print $1 }' /proc/slabinfo | sort
}

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

unload
use 0
caches >$work/caches
unreclaimable() {
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^SUnreclaim|^VmallocUsed|^Percpu/ { sum += $2 } END { print sum }' /proc/meminfo
}
before=$(unreclaimable)
for round in 1 2 3 4 5 6; do
	use $round
done
after=$(unreclaimable)
caches | diff $work/caches - || die "there are caches that were not there"
step "$before KiB before, $after KiB after six lives"
# 32 MiB of device are 8192 blocks; one life leaking its page pool would be 1 MiB or more.
[ $((after - before)) -lt 1500 ] || die "$((after - before)) KiB have leaked"
