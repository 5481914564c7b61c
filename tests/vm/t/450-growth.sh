#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# timeout: 600
# shellcheck disable=SC2086,SC2154,SC2251
#
# Space in a store: the event when it becomes short, and a device that grows while it
# is written to.

# shellcheck source=/dev/null
. /tests/t/4grow.inc

step "low water, and a store that grows on another device"
dmsetup create st --table "0 4096 linear $D2 0"
make_origin
take_raw /dev/mapper/st
is "$(info o-s 8) $(events o-s)" "- 0" "low and events"
dmsetup message o-s 0 low_water 2048
not dmsetup message o-s 0 low_water 12x 2>/dev/null
not dmsetup message o-s 0 high_water 1 2>/dev/null
is "$(dmsetup table o-s | cut -d' ' -f7-)" "16384 2 low_water 2048" "the table"
use_up o-s 2300
is "$(info o-s 8) $(events o-s)" "- 0" "low and events"
use_up o-s 2048
one_event o-s 0
is "$(info o-s 8)" low "low"
use_up o-s 1500
is "$(events o-s)" 1 "events, further down"
# One of another origin, in the same store, hears of the same mark.
dmsetup create p --table "0 $(sectors $D_ODD) blksnap-origin $D_ODD"
dmsetup create p-s --notable
dmsetup reload p-s --table "0 $(sectors $D_ODD) blksnap $(lower_of p) /dev/mapper/st transient 8192 2 low_water 1250"
dmsetup suspend p
dmsetup resume p-s
dmsetup resume p
is "$(info p-s 8) $(events p-s)" "- 0" "low and events of the other"
use_up o-s 1250
one_event p-s 0
is "$(events o-s)" 1 "events, further down"
# It grows: what was low is not, and will be again.
reload st "0 8192 linear $D2 0"
is "$(info o-s 3) $(info o-s 8) $(info p-s 8)" "8192 - -" "after it has grown"
use_up o-s 2048
one_event o-s 1
is "$(info o-s 8) $(events p-s)" "low 1" "low, and events of the other"
dmsetup message p-s 0 low_water 4000
one_event p-s 1
dmsetup remove --retry p-s
dmsetup remove p
bowio verify /dev/mapper/o-s $work/o-s

# Again and again, while it is being written to.
writing &
n=2 size=8192
for _ in 1 2 3; do
	reload st "$(dmsetup table st)
$size 4096 linear $D3 $size"
	size=$((size + 4096))
	dmsetup wait o-s $n
	n=$(events o-s)
done
enough
intact
is "$(info o-s 3)" $size "the size"

step "its end: the snapshot is lost, the origin is not"
n=$(events o-s)
overflows
dmsetup wait o-s $n
exits 16 blksnap grow --size 1G /dev/mapper/st
says lvextend
exits 0 blksnap remove s
dmsetup remove st
