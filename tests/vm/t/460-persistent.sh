#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Persistent snapshots by plain dmsetup: taken, gone on with after all devices have been
# removed, rolled back offline; what ends one, and what is refused.
# kernels: 6.12 uml debug kcsan
# timeout: 600

# shellcheck disable=SC2015,SC2086,SC2154,SC2251
# shellcheck source=/dev/null
. /tests/t/4log.inc

dmsetup create low --table "0 98304 linear $D1 1310720"
dmsetup create kept --table "0 131072 linear $D2 0"
low=/dev/mapper/low kept=/dev/mapper/kept
size=$(sectors $low)

# --- taken, and gone on with ----------------------------------------------------------

origin
make_tree /dev/mapper/o
sync -f $mnt
refused "resume without a log" "carries no log to be resumed" \
	create x --table "$(table $kept persistent 4096 1 resume)"
refused "resume of a transient one" "if persistent: resume" \
	create x --table "$(table $kept transient 4096 1 resume)"
refused "a wrong number of features" "number of optional features is wrong" \
	create x --table "$(table $kept persistent 4096 2 resume)"
take $kept persistent 4096
is "$(dmsetup table i | cut -d' ' -f6-)" "persistent 4096" "table"
is "$(word i 1) $(word o 1) $(word o 12)" "active active active" "states"
ok "the log is there" log_there $kept
change $mnt
shows "after changes"
kept_blocks=$(word i 4)
[ "$kept_blocks" -gt 50 ] || die "only $kept_blocks blocks kept: the test is worth nothing"

refused "a transient one as well" "has a persistent snapshot, which must be" \
	create x --table "$(table $D3 transient 4096)"
refused "a second one" "must be the origin's only one: remove" \
	create x --table "$(table $D3 persistent 4096)"
dmsetup create other --table "0 8192 linear $D_SMALL 0"
dmsetup create p --table "0 8192 blksnap-origin /dev/mapper/other"
refused "its store for another origin" "The store carries a log" create x --table \
	"0 8192 blksnap /dev/mapper/other $kept transient 4096"

# Without an image it goes on, and its store is nobody else's.
gone i
is "$(word o 1) $(word o 2) $(word o 12)" "active 0 active" "an origin without its image"
change $mnt
expect 16 blksnap check --store $kept $low 2>/dev/null
refused "its store for another origin, still" "The store is in use" create x --table \
	"0 8192 blksnap /dev/mapper/other $kept transient 4096"
refused "another image, while it goes on" "The store is in use" \
	create x --table "$(table $kept persistent 4096 1 resume)"
umount $mnt
gone o
ok "a check finds it" expect 1 blksnap check --store $kept $low
refused "a store with a log" "The store carries a log" create x --table \
	"0 8192 blksnap /dev/mapper/other $kept transient 4096"

# All devices were gone: as after a reboot.
for round in 1 2 3; do
	origin
	go_on $kept "3 resume low_water 8"
	is "$(dmsetup table i | cut -d' ' -f6-)" "persistent 4096 3 low_water 8 resume" "table"
	shows "resumed, $round"
	[ "$(word i 4)" -gt "$kept_blocks" ] || die "nothing was kept without an image"
	mount /dev/mapper/o $mnt
	change $mnt
	shows "resumed and changed, $round"
	umount $mnt
	# The image's last private writes are nobody's after that.
	dd if=/dev/urandom of=/dev/mapper/i bs=4k count=9 oflag=direct status=none
	[ $round = 2 ] && gone o i || gone i o
done
# One that has been written to meanwhile.
origin
dd if=$work/want of=/dev/mapper/o bs=4k count=1 oflag=direct status=none
load x $kept persistent 4096 1 resume
dmsetup suspend o
refused "an origin that was written to" "origin has been written to" resume x
dmsetup resume o
gone o
origin
load x $kept persistent 8192 1 resume
dmsetup suspend o
refused "another block size" "the log has a block size of 4096" resume x
dmsetup resume o
gone o
expect 1 blksnap restore --quiet --store $kept $low
cmp $low $work/want || die "a restore does not lead back"
expect 0 blksnap check --store $kept $low
ok "resumed, and rolled back bit for bit" true

# --- what it costs ------------------------------------------------------------------------

origin
take $D3 persistent 4096
writes=$(blk_stat $D3 writes) flushes=$(blk_stat $D3 flushes)
for n in {1..20}; do
	dd if=/dev/urandom of=/dev/mapper/o bs=4k count=1 seek=$((n * 30)) oflag=direct status=none
done
# A copy, a page and a flush each; this disk counts an empty flush as a write as well.
is "$(($(blk_stat $D3 writes) - writes)) $(($(blk_stat $D3 flushes) - flushes))" "60 20" \
	"writes and flushes for 20 first writes"
for n in {1..20}; do
	dd if=/dev/urandom of=/dev/mapper/o bs=4k count=1 seek=$((n * 30)) oflag=direct status=none
done
is "$(($(blk_stat $D3 writes) - writes)) $(($(blk_stat $D3 flushes) - flushes))" "60 20" \
	"the same with 20 rewrites"

# --- how it ends -----------------------------------------------------------------------------

# Nobody knows what table a suspended origin gets: there is no log meanwhile.
dmsetup suspend o
not log_there $D3
dmsetup resume o
ok "the log is there again" log_there $D3
shows "after a suspend"
dmsetup suspend o
gone o
# Another table might have been in use, and written to.
not log_there $D3
is "$(word i 1)" detached "state"
gone i
origin
take $D3 persistent 4096
dmsetup reload o --table "0 $size linear $low 0"
dmsetup suspend o
not log_there $D3
dmsetup resume o
not log_there $D3
is "$(word i 1)" detached "state"
gone i o
ok "an origin that is another target's ends it" true

origin
take $D3 persistent 4096
dd if=/dev/urandom of=/dev/mapper/o bs=4k count=9 seek=400 oflag=direct status=none
dmsetup message o 0 forget
is "$(word i 1) $(word o 1) $(word o 12)" "forgotten idle forgotten" "states"
not log_there $D3
not dd if=/dev/mapper/i of=/dev/null bs=4096 count=1 iflag=direct status=none
not dmsetup message o 0 forget 2>/dev/null
gone i
is "$(word o 12)" "-" "state"
take $D3 persistent 4096
gone i
dmsetup message o 0 forget
is "$(word o 1) $(word o 12)" "idle -" "states"
not log_there $D3
ok "a store that was forgotten is free" expect 0 blksnap check --store $D3 $D_ODD
ok "forgotten, with an image and without" true

# Full: the log is not there when the first write passes that it lacks.
dmsetup create tiny --table "0 600 linear $D3 0"
take /dev/mapper/tiny persistent 4096
dd if=/dev/urandom of=$work/new bs=64k count=20 status=none
dd if=$work/new of=/dev/mapper/o bs=64k oflag=direct status=none
cmp -n 1310720 $work/new $low || die "a write was lost with the snapshot"
is "$(word i 1) $(word o 1) $(word o 12)" "overflow idle overflow" "states"
not log_there /dev/mapper/tiny
gone i tiny
take $D3 transient 4096
shows "a transient one, after that"
load x $D2 persistent 4096 2>/dev/null && die "persistent, with a transient one" || :
dmsetup remove x
gone i o p other low
ok "a full store costs the snapshot, nothing else" true
