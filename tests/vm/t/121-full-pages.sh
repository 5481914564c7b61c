#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
#
# A free map that takes several pages, a resume that finds its page full, a group that
# finds less room in its page than there was, and writes to block 0 that come while a
# commit holds them.

# shellcheck disable=SC2015,SC2086
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

FREE=8192+8192		# every second block of it: 512 extents

disk a 16
load "$disk"
bowio fill $D $W/old
for first in {8192..16383..960}; do
	ranges=()
	for ((at = first; at < first + 960 && at < 16384; at += 16)); do
		ranges+=(-r "$at+8")
	done
	bowio discard "${ranges[@]}" $D
done
is "$(field free)" 512 "free blocks"
checkpoint
cp $W/old $W/new
sequence=$(place "$disk" sequence)
[ "$sequence" -ge 3 ] || die "512 extents in $((sequence + 1)) pages"
ok "a free map of $((sequence + 1)) pages" true

# One record each, until the page is full.
n=$((149 - $(place "$disk" records)))
bowio write -k 16 -n $n -s 4096 -r 512+7680 -g 100 $D $W/new >/dev/null
is "$(place "$disk" records)" 149 "records of the last page"
sequence=$(place "$disk" sequence)
dmsetup remove bow
load "$disk" resume
is "$(place "$disk" sequence)" $((sequence + 1)) "pages after the resume"
bowio verify -x $FREE $D $W/new
# What has changed passes; for more there is no space before a reclaim.
bowio write -k 16 -n 20 -s 4096 -r 512+7680 -g 300 $D $W/new >/dev/null
same "live view" verify -x $FREE $D $W/new
rollback "$disk"
same "rolled back" verify -x $FREE "$disk" $W/old

# While a group is in flight the next one takes what is left of the page. Then a
# backup of the first turns out to have failed, and that has to be recorded as well.
delay() { # MILLISECONDS
	echo "0 $(sectors "$disk") delay $disk 0 0 $disk 0 $1"
}

in_flight() {
	[ "$(dmsetup status lower | cut -d' ' -f4)" -gt 0 ]
}

modprobe dm-fault
dmsetup create slow --table "$(delay 0)"
dmsetup create lower --table "0 $(sectors "$disk") fault /dev/mapper/slow"
load /dev/mapper/lower
bowio discard -r $FREE $D
checkpoint
cp $W/old $W/new
bowio write -k 16 -n $((139 - $(place "$disk" records))) -s 4096 -r 512+4096 -g 500 \
	$D $W/new >/dev/null
is "$(place "$disk" records)" 139 "records"
dmsetup reload slow --table "$(delay $((500 * VM_SLOW)))"
dmsetup suspend slow
dmsetup resume slow
dmsetup message lower 0 "fail write ${FREE%+*} ${FREE#*+} 0 1 done"
bowio write -s 4096 -r 5000+8 -g 600 $D $W/new >/dev/null &
wait_for 20 in_flight
bowio write -t 16 -n 1 -k 16 -s 4096 -r 5120+256 -g 700 $D $W/new >/dev/null
wait
is "$(dmsetup status lower | cut -d' ' -f5)" 1 "backups that failed"
bowio verify -x $FREE $D $W/new
dmsetup remove bow lower slow
expect 1 bow check "$disk" >/dev/null
expect 1 bow restore "$disk" >/dev/null
same "rolled back, after a page that voids have filled" verify -x $FREE "$disk" $W/old

dmsetup create slow --table "$(delay 100)"
load /dev/mapper/slow
bowio discard -r $FREE $D
checkpoint
cp $W/old $W/new
dmsetup message bow 0 commit &
gen=1000
while [ "$(field state)" = checkpoint ]; do
	gen=$((gen + 10))
	bowio write -s 512 -r 0+8 -g $gen $D $W/new >/dev/null
done
wait $!
is "$(field state)" committed "state"
same "live view after commit" verify -x $FREE $D $W/new
dmsetup remove bow slow
same "raw device after commit" verify -x $FREE "$disk" $W/new
disk_gone a
