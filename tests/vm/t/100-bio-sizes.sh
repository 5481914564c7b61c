#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bios of any size and alignment from several threads, on block sizes of 4 KiB,
# 64 KiB and 1 MiB, a device that ends inside a block, one with 4096-byte sectors.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

# One round: fill, free a third, checkpoint, write, come back or commit.
round() { # NAME DEV BLOCK-SECTORS LBS END WRITES [FEATURE...]
	local name=$1 dev=$2 bs=$3 lbs=$4 end=$5 writes=$6 size n
	local all free first len slot1

	shift 6
	all=$(sectors "$dev")
	# From the middle of a block on: rounded inward.
	first=$((all / 4 / bs * bs + lbs / 512)) len=$((all / 2 / bs * bs))
	free=$(((first + bs - 1) / bs * bs))
	free=$free+$(((first + len) / bs * bs - free))
	load "$dev" "$@"
	bowio fill $D $W/old
	bowio discard -r $first+$len $D
	[ "$(field free)" = $((${free#*+} / bs)) ] || die "$name: free blocks: $(field free)"
	checkpoint
	cp $W/old $W/new
	n=2
	for size in $lbs $((2 * lbs)) 4096 "$lbs:65536" 1048576; do
		[ "$size" != 1048576 ] || writes=1
		bowio write -t 4 -n "$writes" -s "$size" -a "$lbs" -S $n -g $((n * 100000)) \
			-R $D $W/new >/dev/null
		n=$((n + 1))
	done
	same "$name: live view" verify -x "$free" $D $W/new
	# What is free may hold something of ours: only what was written counts there.
	if [ "$end" = commit ]; then
		bowio save $D $W/live
		slot1=$(place "$dev" slot1)
		dmsetup message bow 0 commit
		[ "$(field state)" = committed ] || die "$name: state $(field state)"
		same "$name: live view after commit" compare -x "$slot1+8" $D $W/live
		dmsetup remove bow
		same "$name: raw device after commit" compare -x "$slot1+8" "$dev" $W/live
		expect 0 bow check "$dev"
		rm $W/live
	else
		rollback "$dev"
		same "$name: rolled back" verify -x "$free" "$dev" $W/old
	fi
	rm $W/old $W/new
}

disk a 24
round "4 KiB, rollback" "$disk" 8 512 rollback 25
round "4 KiB, commit" "$disk" 8 512 commit 15
round "64 KiB, rollback" "$disk" 128 512 rollback 5 block_size 65536
disk_gone a
disk a 64
round "1 MiB, rollback" "$disk" 2048 512 rollback 1 block_size 1048576
disk_gone a

# 3 sectors more than whole blocks; a table for the odd end, nothing hides it.
disk b 25
dmsetup create odd --table "0 $((24 * 2048 + 3)) linear $disk 0"
for bs in 4096 65536; do
	round "odd size, $bs" /dev/mapper/odd $((bs / 512)) 512 rollback 8 block_size $bs
done
round "odd size, 64 KiB, commit" /dev/mapper/odd 128 512 commit 5 block_size 65536
dmsetup remove odd
disk_gone b

disk c 24 blocksize=4096
[ "$(blockdev --getss "$disk")" = 4096 ] || die "not a 4Kn disk"
round "4Kn, rollback" "$disk" 8 4096 rollback 12
round "4Kn, 64 KiB, commit" "$disk" 128 4096 commit 5 block_size 65536
disk_gone c
