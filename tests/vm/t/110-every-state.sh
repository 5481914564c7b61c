#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A write to a block in each of the states there are, and to each block in which
# something of the log lies; then back, or on, bit for bit.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

FREE=24576+32768		# sectors
BLOCK=8
gen=1000

# Where everything is, from the newest header.
declare -A log
look() {
	local word

	for word in $(bowio header "$dev"); do
		log[${word%%=*}]=${word#*=}
	done
}

put() { # SECTOR: an odd part of the block first, then all of it
	gen=$((gen + 1))
	bowio write -s 512 -r $(($1 + 3))+1 -g $gen $D $W/new >/dev/null
	gen=$((gen + 1))
	bowio write -s 4096 -r "$1"+8 -g $gen $D $W/new >/dev/null
}

live() { # WHAT: all of it, read through the device
	bowio verify -x "$FREE" $D $W/new || die "$1: live view"
	# shellcheck disable=SC2046
	bowio verify $(holes) $D $W/new || die "$1: live view of free space"
}

# Free space but for what was written there.
wrote=()
holes() {
	local at=${FREE%+*} end=$((${FREE%+*} + ${FREE#*+})) w

	for w in $(printf '%s\n' "${wrote[@]}" | sort -nu); do
		[ "$w" -ge "$at" ] && [ "$w" -lt "$end" ] || continue
		[ "$w" = "$at" ] || echo "-x $at+$((w - at))"
		at=$((w + BLOCK))
	done
	[ "$at" = "$end" ] || echo "-x $at+$((end - at))"
}

overwrite() { # WHAT SECTOR
	local before

	before=$(field collisions)
	put "$2"
	wrote+=("$2")
	bowio check -r "$2+8" $D $W/new || die "$1: live view"
	case $3 in
	ours)	[ "$(field collisions)" -gt "$before" ] || die "$1: no collision at $2" ;;
	*)	[ "$(field collisions)" = "$before" ] || die "$1: a collision at $2" ;;
	esac
}

all_states() {
	local i last backup sealed

	last=$(($(sectors $D) / BLOCK * BLOCK))
	overwrite protected 800 -
	overwrite changed 800 -
	# Backups come from the upper part of this space, the reserve from its top.
	overwrite free $((${FREE%+*} + 8192)) -
	overwrite loose $((${FREE%+*} + 8192)) -
	look
	for i in $(seq 0 $((log[hidden] - 1))); do
		put "${log[source$i]}"
	done
	ok "hidden blocks, protected, free"

	# The short last block: what is there of it.
	gen=$((gen + 1))
	bowio write -s 512 -r $((last + 2))+1 -g $gen $D $W/new >/dev/null
	ok "last block"

	for i in $(seq 0 $((log[hidden] - 1))); do
		look
		overwrite "live copy $i" "${log[live$i]}" ours
		old=${log[live$i]}
		look
		[ "${log[live$i]}" != "$old" ] || die "live copy $i has not moved"
		# The hidden block behind it has moved with all it holds, and takes writes.
		bowio check -r "${log[source$i]}+8" $D $W/new || die "hidden block $i after the move"
		put "${log[source$i]}"
	done
	ok "live copies"

	look
	overwrite "slot 1" "${log[slot1]}" ours
	old=${log[slot1]}
	look
	[ "${log[slot1]}" != "$old" ] || die "slot 1 has not moved"
	ok "slot 1"

	[ "${log[seal]}" != 0 ] || die "no seal"
	overwrite seal "${log[seal]}" ours
	ok "seal"

	# More than a page of records: a sealed page.
	bowio write -n 170 -k 16 -s 4096 -r 4096+20000 -g 20000 $D $W/new >/dev/null
	look
	sealed=${log[prev]}
	[ "${log[sequence]}" -ge 1 ] && [ "$sealed" != 0 ] || die "no sealed page"
	dd if="$dev" bs=512 skip="$sealed" count=1 iflag=direct 2>/dev/null | head -c 6 |
		grep -q dm-cow || die "no page at $sealed"
	overwrite "sealed page" "$sealed" ours
	ok "sealed page"

	# A backup that the log itself names: of block 800.
	bowio save "$dev" $W/raw
	backup=$(bow dump --json $W/raw | jq '[.pages[].records[] |
		select(.kind == "backup" and .source == 800)][0].dest') || :
	rm $W/raw
	[ "$backup" -ge "${FREE%+*}" ] || die "where is the backup of 800: $backup"
	overwrite backup "$backup" ours
	overwrite "backup, loose now" "$backup" -
	ok "backup"
	live "in the end"
}

disk a 34
dmsetup create odd --table "0 $((32 * 2048 + 3)) linear $disk 0"
dev=/dev/mapper/odd
for end in rollback commit; do
	load $dev
	bowio fill $D $W/old
	bowio discard -r $FREE $D
	checkpoint
	cp $W/old $W/new
	wrote=()
	all_states
	if [ $end = rollback ]; then
		rollback $dev
		same "rolled back" verify -x $FREE $dev $W/old
	else
		dmsetup message bow 0 commit
		# shellcheck disable=SC2046
		same "live after commit" verify $(holes) $D $W/new
		dmsetup remove bow
		# shellcheck disable=SC2046
		same "raw after commit" verify $(holes) $dev $W/new
		expect 0 bow check $dev
	fi
done

# Blocks of 64 KiB: two hidden ones, the second from 64 KiB on.
BLOCK=128
load $dev block_size 65536
bowio fill $D $W/old
bowio discard -r $FREE $D
checkpoint
cp $W/old $W/new
wrote=()
look
[ "${log[hidden]}" = 2 ] || die "64 KiB: ${log[hidden]} hidden blocks"
for at in 0 127 128 255 256; do
	gen=$((gen + 1))
	bowio write -s 512 -r $at+1 -g $gen $D $W/new >/dev/null
done
gen=$((gen + 1))
bowio write -s 1048576 -r 0+2048 -g $gen $D $W/new >/dev/null
bowio verify -x $FREE $D $W/new || die "64 KiB: live view"
rollback $dev
same "64 KiB: rolled back" verify -x $FREE $dev $W/old
dmsetup remove odd
