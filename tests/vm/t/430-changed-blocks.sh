#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# timeout: 600
# shellcheck disable=SC2086,SC2154,SC2251
#
# Changed-block tracking: full copies and increments of snapshots that are taken,
# written to and removed while their origin is written to; and who must start over.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

# The blocks that changed, of $work/backup: with them it is the image.
increment() { # IMAGE SINCE
	local offset length

	while read -r offset length; do
		dd if=/dev/mapper/$1 of=$work/backup iflag=skip_bytes,count_bytes,direct \
			oflag=seek_bytes bs=4k skip=$offset seek=$offset count=$length \
			conv=notrunc status=none
		bytes=$((bytes + length))
	done < <(blksnap changed --since $2 /dev/mapper/$1)
	cmp $work/backup /dev/mapper/$1 || die "$1 since $2: the backup is not the image"
}

# What is read of a device of 16 TiB is there in two seconds.
in_time() { # WHAT
	local ms=$(((${EPOCHREALTIME/./} - start) / 1000))

	step "$1 in $ms ms"
	[ $ms -lt $((2000 * VM_SLOW)) ] || die "$1: $ms ms"
}

dmsetup create under --table "0 32776 linear $D1 0"
exits 0 blksnap attach --create o /dev/mapper/under
is "$(dmsetup status o | cut -d' ' -f12)" 65536 "block size of the tracking"
bowio fill /dev/mapper/o $work/old

step "twenty rounds"
exits 0 blksnap take -n 0 --store $store --block-size 4K o
dd if=/dev/mapper/o-0 of=$work/backup bs=1M status=none
last=$(id_of o-0)
[[ $last =~ ^[0-9a-f-]{36}:[0-9]+$ ]] || die "id: $last"
bytes=0
for n in {1..20}; do
	bowio write -q -n 6 -s 512:16384 -a 512 -S $n -g $((n * 100)) /dev/mapper/o \
		$work/old >/dev/null
	exits 0 blksnap take -n $n --store $store o
	bowio write -q -n 6 -s 512:16384 -a 512 -S 9$n -g $((n * 100 + 50)) \
		/dev/mapper/o $work/old >/dev/null &
	# Every third one is written to before it is copied, or after.
	[ $((n % 3)) != 0 ] ||
		dd if=/dev/urandom of=/dev/mapper/o-$n bs=4k count=3 seek=$((n * 37)) \
			oflag=direct conv=notrunc status=none
	increment o-$n $last
	[ $((n % 3)) != 1 ] ||
		dd if=/dev/urandom of=/dev/mapper/o-$n bs=4k count=3 seek=$((n * 31)) \
			oflag=direct conv=notrunc status=none
	[ $((n % 3)) != 1 ] || increment o-$n $last
	wait
	last=$(id_of o-$n)
	exits 0 blksnap remove $((n - 1))
done
[ $bytes -lt $((20 * 32776 * 512 / 4)) ] || die "increments of $bytes bytes"
step "$bytes bytes in twenty increments"

step "marks, and what is not a write"
exits 0 blksnap take -n a --store $store o
last=$(id_of o-a)
is "$(blksnap changed --since $last o-a)" "" "since itself"
exits 0 blksnap mark o 1M 1
exits 2 blksnap mark o 16M 1M
exits 2 blksnap mark o 1M 0
exits 16 blksnap mark under 0 1
exits 0 blksnap take -n b --store $store o
is "$(blksnap changed --since $last o-b)" "1048576 65536" "what was marked"
blksnap changed --json --since $last /dev/mapper/o-b | jq -e '.changed_bytes == 65536 and
	.ranges == [{"offset": 1048576, "length": 65536}] and .origin == "o" and
	.cbt_block_bytes == 65536 and .size_bytes == 16781312' >/dev/null
# The last block is a short one.
dd if=/dev/urandom of=/dev/mapper/o bs=4k seek=4096 count=1 oflag=direct conv=notrunc status=none
exits 0 blksnap take -n c --store $store o
is "$(blksnap changed --since "$(id_of o-b)" o-c)" "16777216 4096" "the end of the device"
exits 16 blksnap changed --since "$(id_of o-c)" o-b
says 'younger'
exits 16 blksnap changed o
exits 2 blksnap changed --since yesterday o-c
[ -z "$(dmsetup ls --target blksnap-map | sed '/^No devices/d')" ] || die "maps are left over"

step "a table again, and another life"
last=$(id_of o-c)
dmsetup reload o --table "$(dmsetup table o)"
dmsetup suspend o
dmsetup resume o
exits 0 blksnap changed --since $last o-c
for n in 20 a b c; do
	exits 0 blksnap remove $n
done
exits 0 blksnap detach o
exits 0 blksnap attach --create o /dev/mapper/under
exits 0 blksnap take -n d --store $store o
exits 1 blksnap changed --since $last o-d
says 'start over'
exits 0 blksnap remove d
# Somebody keeps what was known: it is worthless all the same.
exits 0 blksnap take -n e --store $store o
last=$(id_of o-e)
dmsetup create map --table "0 8 blksnap-map $(lower_of o) ${last%:*} ${last#*:}"
dmsetup reload o --table "0 32776 linear /dev/mapper/under 0"
dmsetup suspend o
dmsetup resume o
is "$(dmsetup status o-e | cut -d' ' -f4)" detached "an image without its origin"
dd if=/dev/urandom of=/dev/mapper/o bs=4k seek=1 count=1 oflag=direct conv=notrunc status=none
not dd if=/dev/mapper/map of=/dev/null iflag=direct bs=4k count=1 status=none 2>/dev/null
# A table that is not in use yet does not make it an origin.
dmsetup reload o --table "0 32776 blksnap-origin /dev/mapper/under"
dmsetup create early --notable
dmsetup reload early --table "0 32776 blksnap $(lsblk -dnro MAJ:MIN /dev/mapper/under) $store transient 4096"
not dmsetup resume early 2>/dev/null
dmsetup remove early
dmsetup suspend o
dmsetup resume o
dmsetup remove o-e
exits 0 blksnap take -n f --store $store o
exits 1 blksnap changed --since $last o-f
exits 0 blksnap remove f
dmsetup remove map
exits 0 blksnap detach o

step "blocks of another size; 16 TiB"
dmsetup create o --table "0 32776 blksnap-origin $(lsblk -dnro MAJ:MIN /dev/mapper/under) 2 cbt_block_size 4096"
[[ $(dmsetup table o) == *' 2 cbt_block_size 4096' ]] || die "table: $(dmsetup table o)"
exits 0 blksnap take -n 1 --store $store o
dd if=/dev/urandom of=/dev/mapper/o bs=4k seek=77 count=2 oflag=direct conv=notrunc status=none
last=$(id_of o-1)
exits 0 blksnap take -n 2 --store $store o
is "$(blksnap changed --since $last o-2)" "315392 8192" "two blocks"
exits 0 blksnap remove 1 2
dmsetup remove o
for bad in 2048 65537 "cbt" 1073741824; do
	not dmsetup create o --table "0 32776 blksnap-origin /dev/mapper/under 2 cbt_block_size $bad" 2>/dev/null
	dmsetup remove o 2>/dev/null || :
done
load_null_blk
disk vast 16777216 memory_backed=0 discard=0
dmsetup create o --table "0 $(sectors $disk) blksnap-origin $disk"
exits 0 blksnap take -n 1 --store $store --block-size 1M o
last=$(id_of o-1)
dd if=/dev/zero of=/dev/mapper/o bs=4k seek=125000000 count=1 oflag=direct conv=notrunc status=none
exits 0 blksnap take -n 2 --store $store o
start=${EPOCHREALTIME/./}
is "$(blksnap changed --since $last o-2)" "511998689280 2097152" "one block of 16 TiB"
in_time "16 TiB"
exits 0 blksnap remove 1 2

# Every other block of a part, as many ranges as blocks: without a snapshot, whose store
# would need as many megabytes.
ranges=50000
exits 0 blksnap take -n 3 --store $store --block-size 1M o
last=$(id_of o-3)
exits 0 blksnap remove 3
awk -v n=$ranges 'BEGIN { for (i = 0; i < n; i++) printf "pwrite -q %d 4096\n", i * 4194304 }' |
	xfs_io -d /dev/mapper/o >/dev/null
exits 0 blksnap take -n 4 --store $store --block-size 1M o
start=${EPOCHREALTIME/./}
blksnap changed --since $last o-4 >$work/ranges
in_time "$ranges ranges"
awk -v n=$ranges 'BEGIN { for (i = 0; i < n; i++) print i * 4194304, 2097152 }' |
	cmp - $work/ranges
exits 0 blksnap remove 4
dmsetup remove o
disk_gone vast
