#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
#
# Images of origins that are written to at the edges of blocks, at the ends of the
# device and anywhere else, in all sizes: blocks of 4 KiB, 64 KiB and 1 MiB, a
# device that ends inside a block, sectors of 512 and of 4096 bytes on either side; and
# secure erase.

# shellcheck disable=SC2015,SC2017,SC2046,SC2086,SC2154,SC2207
# shellcheck source=/dev/null
. /tests/t/4blk.inc

# Writes that touch the edges of some blocks from both sides, and both ends.
edges() { # SECTORS-OF-A-BLOCK SECTORS-OF-A-LOGICAL-BLOCK SIZE
	local bs=$1 l=$2 size=$3 edge

	for edge in $bs $((2 * bs)) $((size / bs / 2 * bs)) $((size / bs * bs)); do
		[ $((edge + l)) -gt $size ] || echo "-r $((edge - l))+$((2 * l))"
	done
	echo "-r 0+$((2 * l)) -r $((size - 2 * l))+$((2 * l))"
}

round() { # NAME DEVICE STORE BLOCK-SIZE LOGICAL-BLOCK
	local name=$1 dev=$2 store=$3 bytes=$4 lbs=$5 size

	size=$(sectors $dev)
	origin c $dev
	bowio fill /dev/mapper/c $W/c
	take 1 $store $bytes c
	bowio write -n 24 -s $lbs:$((2 * lbs)) -a $lbs -g 100 $(edges $((bytes / 512)) $((lbs / 512)) $size) \
		/dev/mapper/c $W/c >/dev/null
	shows c-1
	take 2 $store $bytes c
	bowio write -t 4 -n 8 -s $lbs:65536 -a $lbs -S 2 -g 2000 /dev/mapper/c $W/c >/dev/null
	bowio write -t 2 -s 1048576 -a $lbs -S 3 -g 3000 /dev/mapper/c $W/c >/dev/null
	# The same edges in an image; neither the other one nor the origin shows it.
	lbs=$(blockdev --getss /dev/mapper/c-1)	# the larger one's of origin and store
	bowio write -n 24 -s $lbs:$((2 * lbs)) -a $lbs -g 9000 \
		$(edges $((bytes / 512)) $((lbs / 512)) $size) /dev/mapper/c-1 $W/c-1 >/dev/null
	bowio write -t 2 -n 8 -s $lbs:65536 -a $lbs -g 10000 /dev/mapper/c-1 $W/c-1 >/dev/null
	bowio zeroout -r $((bytes / 512 - lbs / 512))+$((2 * lbs / 512)) /dev/mapper/c $W/c
	bowio discard -r $((lbs / 512))+$((4 * bytes / 512)) /dev/mapper/c
	shows c-1 c-2
	bowio verify /dev/mapper/c $W/c
	gone c-1
	shows c-2
	gone c-2 c
	ok "$name" true
}

# A device that would do it: with a snapshot and without, the target does not offer it.
secure_erase() {
	local snapshots

	dmsetup create below --table "0 $(sectors "$disk") secure $disk"
	blkdiscard --secure -l 1M /dev/mapper/below
	is "$(dmsetup status below | cut -d' ' -f4)" 1 "secure erases"
	origin c /dev/mapper/below
	bowio fill /dev/mapper/c $W/c
	for snapshots in 0 1; do
		not blkdiscard --secure -l 1M /dev/mapper/c 2>$W/err
		grep -q 'not supported' $W/err || die "secure erase: $(cat $W/err)"
		bowio verify /dev/mapper/c $W/c
		[ $snapshots = 1 ] || take 1 $store 4096 c
	done
	not blkdiscard --secure -l 1M /dev/mapper/c-1 2>/dev/null
	shows c-1
	is "$(dmsetup status below | cut -d' ' -f4)" 1 "secure erases"
	gone c-1 c below
	ok "secure erase" true
}

disk store 256
store=$disk
disk a 12
modprobe dm-secure
secure_erase
for bytes in 4096 65536 1048576; do
	round "blocks of $bytes" "$disk" "$store" $bytes 512
done
round "a store of 4096-byte sectors" "$disk" "$D_4K" 65536 512
dmsetup create odd --table "0 $((20 * 1024 + 3)) linear $disk 0"
for bytes in 4096 65536 1048576; do
	round "an odd end, blocks of $bytes" /dev/mapper/odd "$store" $bytes 512
done
dmsetup remove odd
disk_gone a
disk b 12 blocksize=4096
is "$(blockdev --getss "$disk")" 4096 "sectors of the origin"
round "an origin of 4096-byte sectors" "$disk" "$store" 4096 4096
round "and of the store" "$disk" "$D_4K" 65536 4096
disk_gone b
disk_gone store
