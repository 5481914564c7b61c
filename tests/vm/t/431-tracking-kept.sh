#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12 uml debug kcsan
#
# shellcheck disable=SC2086,SC2154,SC2251
#
# Changed-block tracking with a tracking device: exact after a clean end, regions after a
# crash, a new generation whenever something may have been missed.

# shellcheck source=/dev/null
. /tests/t/4snap.inc
track=/dev/mapper/track

write() { # BLOCK COUNT, of 4 KiB
	dd if=/dev/urandom of=/dev/mapper/o bs=4k seek=$1 count=$2 oflag=direct \
		conv=notrunc status=none
}

# A machine that begins anew knows what is on its devices and nothing else.
again() {
	dmsetup remove --retry o
	rmmod dm_blksnap
	modprobe dm-blksnap
	exits 0 blksnap attach --create --tracking $track o /dev/mapper/under
}

# A snapshot, for its id, and to be asked what has changed.
take() { # NAME
	exits 0 blksnap take -n $1 --store $store o
	last=$(id_of o-$1)
}

changed() { # SINCE NAME
	blksnap changed --since $1 o-$2
}

state() {
	dmsetup status o | cut -d' ' -f16
}

events() {
	dmsetup info -c --noheadings -o events o
}

dmsetup create track --table "0 64 linear $D3 0"
dmsetup create under --table "0 32776 linear $D1 0"

step "a clean end"
exits 0 blksnap attach --create --tracking $track o /dev/mapper/under
[[ $(dmsetup table o) == *" 2 tracking $(lsblk -dnro MAJ:MIN $track)" ]] ||
	die "table: $(dmsetup table o)"
is "$(blksnap list --json | jq -r '.origins[0] | "\(.tracking) \(.tracking_lost)"')" \
	"/dev/$(lsblk -dnro KNAME $track) false" "the tracking device"
is "$(state)" kept
write 3 1
take 1
since=$last
write 77 2
write 4096 1
exits 0 blksnap remove 1
again
take 2
is "$(changed $since 2)" "262144 65536
16777216 4096" "after a clean end"
write 200 1
exits 0 blksnap mark o 8M 1
is "$(changed $since 2)" "262144 65536
16777216 4096" "as of a snapshot, whatever comes later"
exits 0 blksnap remove 2
again
take 3
is "$(changed $last 3)" "" "since itself"
is "$(changed $since 3)" "262144 65536
786432 65536
8388608 65536
16777216 4096" "a second time"

step "a table again"
dmsetup reload o --table "$(dmsetup table o)"
dmsetup suspend o
dmsetup resume o
write 400 1
exits 0 blksnap remove 3
take 4
is "$(changed $last 4)" "" "the newest"
is "$(changed $since 4 | tail -n 2 | head -n 1)" "8388608 65536" "since the first"
exits 0 blksnap remove 4

step "a crash costs regions"
again
take 5
since=$last
write 600 1		# 2400 KiB
dmsetup message o 0 save
write 1100 1		# 4400 KiB
dd if=/dev/urandom of=/dev/mapper/o-5 bs=4k seek=1600 count=1 oflag=direct conv=notrunc status=none
exits 0 blksnap mark o 9M 1
# What the device has at this moment is what it will have.
dd if=$track of=$work/track iflag=direct bs=4k status=none
exits 0 blksnap remove 5
dmsetup remove --retry o
dd if=$work/track of=$track oflag=direct bs=4k status=none
exits 0 blksnap attach --create --tracking $track o /dev/mapper/under
take 6
is "$(changed $since 6)" "2424832 65536
4194304 1048576
6291456 1048576
9437184 1048576" "after a crash"
exits 0 blksnap remove 6

step "a rollback is counted, though no origin has seen it"
again
exits 0 blksnap take --persistent -n 7 --store $store o
since=$(id_of o-7)
write 500 1
dmsetup remove --retry o-7
dmsetup remove --retry o
exits 1 blksnap restore --quiet --store $store /dev/mapper/under
exits 0 blksnap attach --create --tracking $track o /dev/mapper/under
take 8
is "$(changed $since 8)" "2031616 65536" "after a rollback"
exits 0 blksnap remove 8

step "under load, and taken meanwhile"
bowio fill /dev/mapper/o $work/old
bowio write -q -t 4 -n 400 -s 512:16384 -a 512 -S 1 -g 100 /dev/mapper/o $work/old >/dev/null &
writer=$!
for n in a b c; do
	take $n
done
wait $writer
bowio verify /dev/mapper/o $work/old
is "$(state)" kept
exits 0 blksnap remove a b c

step "while it is suspended, nothing is believed"
take 7
since=$last
exits 0 blksnap remove 7
dmsetup suspend o
dd if=$track of=$work/track iflag=direct bs=4k status=none
dmsetup resume o
dmsetup remove --retry o
dd if=$work/track of=$track oflag=direct bs=4k status=none
exits 0 blksnap attach --create --tracking $track o /dev/mapper/under
take 8
exits 1 blksnap changed --since $since o-8
says 'start over'
exits 0 blksnap remove 8

step "another table"
take 9
since=$last
exits 0 blksnap remove 9
dmsetup reload o --table "0 32776 linear /dev/mapper/under 0"
dmsetup suspend o
dmsetup resume o
write 5 1
dmsetup remove --retry o
exits 0 blksnap attach --create --tracking $track o /dev/mapper/under
take 10
exits 1 blksnap changed --since $since o-10
exits 0 blksnap remove 10

step "the device fails"
take 11
since=$last
dmsetup reload track --table "0 64 error"
dmsetup suspend --noflush track
dmsetup resume track
blksnap monitor --json >$work/told 2>/dev/null &
monitor=$!
events=$(events)
write 700 1
has_come() { [ "$(events)" -gt $events ]; }
wait_for 20 has_come
is "$(state)" lost
wait_for 20 grep -q '"event":"untracked","name":"o"' $work/told
is "$(blksnap list --json | jq '.origins[0].tracking_lost')" true
write 800 1
not dmsetup message o 0 save 2>/dev/null
dmsetup suspend o
dmsetup resume o
# Of all that once.
is "$(events)" $((events + 1)) "events"
is "$(wc -l <$work/told)" 1 "what the monitor has told"
kill $monitor
wait $monitor || :
dmsetup reload track --table "0 64 linear $D3 0"
dmsetup suspend --noflush track
dmsetup resume track
exits 0 blksnap remove 11
take 12
exits 1 blksnap changed --since $since o-12
exits 0 blksnap remove 12
again
is "$(state)" kept
take 13
exits 1 blksnap changed --since $since o-13
exits 0 blksnap remove 13

step "refused"
not dmsetup reload o --table "0 32776 blksnap-origin /dev/mapper/under"
dmsetup create other --table "0 32776 linear $D1 40000"
exits 16 blksnap attach --create --tracking $track p /dev/mapper/other
says 'nobody uses'
not dmsetup create p --table "0 32776 blksnap-origin /dev/mapper/other 2 tracking $track" 2>/dev/null
dmsetup remove p 2>/dev/null || :
not dmsetup create s --table "0 32776 blksnap /dev/mapper/under $track transient 4096" 2>/dev/null
dmsetup remove s 2>/dev/null || :
dmsetup create s --notable
dmsetup load s --table "0 32776 blksnap /dev/mapper/under $store transient 4096"
not dmsetup create p --table "0 32776 blksnap-origin /dev/mapper/other 2 tracking $store" 2>/dev/null
dmsetup remove p 2>/dev/null || :
dmsetup remove --retry s
dmsetup create small --table "0 16 linear $D3 100"
not dmsetup create p --table "0 32776 blksnap-origin /dev/mapper/other 2 tracking /dev/mapper/small" 2>/dev/null
dmsetup remove p 2>/dev/null || :
for bad in "1 tracking" "2 tracking" "2 tracking nothing" "2 tracks $track" "3 tracking $track"; do
	not dmsetup create p --table "0 32776 blksnap-origin /dev/mapper/other $bad" 2>/dev/null
	dmsetup remove p 2>/dev/null || :
done
dmsetup create onorigin --table "0 64 linear /dev/mapper/o 64"
exits 16 blksnap attach --create --tracking /dev/mapper/onorigin p /dev/mapper/other
says 'is an origin'
dmsetup remove onorigin
exits 16 blksnap attach track
says 'tracking device of o'
dmsetup remove --retry o
