#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12 uml debug kcsan
# timeout: 600
# shellcheck disable=SC2086,SC2154,SC2251
#
# Stores of files that grow while they are written to: by hand, and by the monitor up
# to its limit.

# shellcheck source=/dev/null
. /tests/t/4grow.inc

make_origin

store_of() {
	dmsetup ls --target blksnap-file | cut -f1
}

# No table may put something else where there are old contents.
stays_in_place() { # TABLE-OF-TWO-LINES
	local st one two start len rest

	st=$(store_of)
	one=$(sed -n 1p <<<"$1") two=$(sed -n 2p <<<"$1")
	read -r start len rest <<<"$two"
	not dmsetup reload $st --table "0 $len $rest" 2>/dev/null
	not dmsetup reload $st --table "$one
$start 8 ${one#* * }" 2>/dev/null
	not dmsetup reload $st --table "$1
$((start + len)) 8 ${one#* * }" 2>/dev/null
	dmsetup reload $st --table "$1"
	dmsetup clear $st
}

another_filesystem() { # TYPE
	local file="$work/other/a store"

	make_fs $1 $D2
	mount $D2 $work/other
	take_raw "$file" --size 4M
	exits 16 blksnap grow --size 4M "$file"
	says already
	exits 0 blksnap grow --dry-run --size 8M "$file"
	[ ! -e "$file.1" ] || die "a dry run made a file"
	writing &
	exits 0 blksnap grow --size 8M "$file"
	echo precious >"$file.2"
	exits 0 blksnap grow --size 12M "/dev/mapper/$(store_of)" --json
	is "$(jq -r .size_bytes <<<"$out")" $((12 << 20)) "size_bytes"
	is "$(jq -r .file <<<"$out")" "$file.3" "the file"
	is "$(info o-s 3)" $((12 << 11)) "the size"
	enough
	use_up o-s 3000
	intact
	not truncate -s 0 "$file.1" 2>/dev/null
	not rm -f "$file.3" 2>/dev/null
	stays_in_place "$(dmsetup table "$(store_of)" | head -n 2)"
	exits 0 blksnap take -n t --store "$file.3" o
	exits 0 blksnap remove s t
	is "$(ls --ignore=lost+found $work/other)" "a store.2" "what is left"
	no_files
	umount $work/other
	check_fs $1 $D2
	step "$1: done"
}

step "a file grows, on another filesystem, while it is written to"
mkdir $work/other
types=ext4
! long || types='xfs f2fs ext4'
for fs in $types; do
	another_filesystem $fs
done

step "the monitor"
mount $D2 $work/other
rm "$work/other/a store.2"
store=$work/other/store
take_raw $store --size 4M
exits 0 blksnap monitor --once --low-water 2M
is "$(dmsetup table o-s | cut -d' ' -f8-)" "2 low_water 4096" "the mark"
use_up o-s 4096
exits 1 blksnap monitor --once --low-water 2M
says 'without --limit'
exits 0 blksnap monitor --once --low-water 1M --limit 64M
is "$(info o-s 3) $(dmsetup table o-s | cut -d' ' -f8-)" "8192 2 low_water 2048" "not yet"
blksnap monitor --low-water 50% --step 3M --limit 12M --json >$work/log 2>&1 &
monitor=$!
has_mark() {
	dmsetup table $1 | grep -q low_water
}

grown_to() {
	[ "$(info o-s 3)" = $(($1 << 11)) ]
}
until_true grown_to 7
# Nobody tells it but the kernel.
use_up o-s 7168
until_true grown_to 10
use_up o-s 10240
until_true grown_to 12
bowio verify /dev/mapper/o-s $work/o-s
use_up o-s 12288
until_true grep -q 'limit is reached' $work/log
# One that comes later is watched over as well.
exits 0 blksnap take -n t --store $store o
until_true has_mark o-t
overflows
is "$(info o-s 3)" $((12 << 11)) "the size"
until_true grep -q 'o-t: the snapshot is lost: overflow' $work/log
kill $monitor
wait $monitor || :
is "$(grep -c '^{.*"event":"grown"' $work/log)" 3 "times that it has grown: $(cat $work/log)"
is "$(grep -c '^{.*"event":"low"' $work/log)" 1 "times that it was told to be low"
is "$(grep -c '^{.*"event":"lost"' $work/log)" 2 "snapshots lost"
exits 0 blksnap remove s t
umount $work/other
exits 0 blksnap detach o
dmsetup remove under
