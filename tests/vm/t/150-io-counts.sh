#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a write costs, counted by the disk: nothing but itself when its block has
# changed or was free, one copy, one log page and one flush when it has not; no flush
# where FUA does.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

FREE=32768+32768

counts() { # reads, sectors, writes, sectors, flushes; an empty write comes with each of those
	awk '{ print $1 + $2, $3, $5 + $6 - $16, $7, $16 }' "/sys/block/${disk##*/}/stat"
}

# cost WHAT "READS SECTORS WRITES SECTORS FLUSHES" COMMAND...
cost() {
	local what=$1 want=$2 before after got

	shift 2
	read -ra before < <(counts)
	"$@" >/dev/null
	read -ra after < <(counts)
	got=$(for i in 0 1 2 3 4; do printf '%d ' $((after[i] - before[i])); done)
	[ "${got% }" = "$want" ] || die "$what: I/O was ${got% }, not $want"
	ok "$what: $want"
}

# A disk with a volatile cache: without one there are no flushes to count.
all_counts() { # FLUSHES-FOR-ONE-COPY [ATTRIBUTE=VALUE]
	local flush=$1 at groups before after sequence flushes

	shift
	disk a 32 cache_size=4 "$@"
	[ "$(cat "/sys/block/${disk##*/}/queue/write_cache")" = "write back" ] ||
		die "no volatile cache"
	load "$disk"
	bowio fill $D $W/old
	bowio discard -r $FREE $D
	checkpoint
	cp $W/old $W/new
	# Opening and probing a device costs reads: count what bowio alone does.
	cost "nothing" "0 0 0 0 0" bowio write -n 0 $D $W/new

	# To the lower half of free space, where no backup comes.
	at=40960
	cost "100 first writes of 4 KiB to free blocks" "0 0 100 800 0" \
		bowio write -q -n 100 -s 4096 -r $at+800 -g 10 $D $W/new
	cost "100 more to the same" "0 0 100 800 0" \
		bowio write -q -n 100 -s 4096 -r $at+800 -g 200 $D $W/new
	cost "100 of 512 bytes to free blocks" "0 0 100 100 0" \
		bowio write -k 8 -n 100 -s 512 -r $((at + 803))+800 -g 400 $D $W/new

	# One after the other: a copy, a page, a flush and the write itself.
	groups=$(field groups)
	cost "100 first writes of 4 KiB" "100 800 300 2400 $((100 * flush))" \
		bowio write -k 16 -n 100 -s 4096 -r 8192+1600 -g 600 $D $W/new
	[ "$(field groups)" = $((groups + 100)) ] || die "groups: $(field groups), were $groups"
	cost "100 rewrites of them" "0 0 100 800 0" \
		bowio write -k 16 -n 100 -s 4096 -r 8192+1600 -g 800 $D $W/new
	cost "100 rewrites, 512 bytes each" "0 0 100 100 0" \
		bowio write -k 16 -n 100 -s 512 -r 8195+1600 -g 1000 $D $W/new
	cost "40 first writes of 64 KiB" "40 5120 120 $((5120 * 2 + 40 * 8)) $((40 * flush))" \
		bowio write -q -n 40 -s 65536 -r 12288+5120 -g 1200 $D $W/new
	cost "40 rewrites of 64 KiB" "0 0 40 5120 0" \
		bowio write -q -n 40 -s 65536 -r 12288+5120 -g 1300 $D $W/new

	# 49 records fill the page: the 149th write seals it, one more page.
	read -ra before < <(counts)
	sequence=$(place "$disk" sequence)
	bowio write -k 16 -n 149 -s 4096 -r 18432+2384 -g 1400 $D $W/new >/dev/null
	read -ra after < <(counts)
	[ "$(place "$disk" sequence)" = $((sequence + 1)) ] || die "no page was sealed"
	[ $((after[4] - before[4])) = $((149 * flush)) ] || die "$((after[4] - before[4])) flushes for 149 first writes"
	[ $((after[2] - before[2])) = $((149 * 3 + 1)) ] || die "$((after[2] - before[2])) writes, one page sealed"
	ok "a page sealed costs one write and no flush"

	# Small ones in a row: 1 1 2 3 4 6 9 14 21 blocks are copied, those behind the first of
	# each for writes to come. The page is full again: one is sealed.
	cost "61 first writes of 4 KiB, one after the other" "9 488 80 1056 $((9 * flush))" \
		bowio write -q -n 61 -s 4096 -r 21504+488 -g 1600 $D $W/new
	is "$(field ahead)" 52 "blocks copied ahead"

	# Hidden blocks are redirected: no copy.
	cost "50 writes to block 0" "0 0 50 400 0" \
		bowio write -q -n 50 -s 4096 -r 0+8 -g 1600 $D $W/new

	# From several threads a flush serves many.
	flushes=$(field flushes)
	bowio write -t 8 -q -n 25 -s 4096 -r 24576+8192 -g 2000 $D $W/new >/dev/null
	flushes=$(($(field flushes) - flushes))
	# With one processor each may be done before the next thread gets to run.
	[ $flushes -le 150 ] || [ "$(nproc)" = 1 ] ||
		die "$flushes flushes for 200 first writes from 8 threads"
	ok "200 first writes from 8 threads: $flushes flushes"

	# Reads and flushes are passed as they are, discards are not.
	cost "discard" "0 0 0 0 0" bowio discard -r 4096+4096 $D
	same "live view" verify -x $FREE $D $W/new
	rollback "$disk"
	same "rolled back" verify -x $FREE "$disk" $W/old
	disk_gone a
}

echo "# with FUA"
all_counts 0
# Older kernels have null_blk with FUA only.
if grep -qw fua /sys/kernel/config/nullb/features; then
	echo "# without FUA"
	all_counts 1 fua=0
fi
