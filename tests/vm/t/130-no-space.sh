#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# No space left for backups, under each policy; the low-water mark.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

disk a 16
FREE=16384+1024			# 128 blocks
SRC=0+16384			# 2048 blocks are protected
MORE=17408+15360		# 1920 more

prepare() { # FEATURE...
	load "$disk" "$@"
	bowio fill $D $W/old
	bowio discard -r $FREE $D
	checkpoint
	cp $W/old $W/new
}

events() {
	dmsetup info -c --noheadings -o events bow | tr -d ' '
}

wait_event() { # NUMBER SECONDS: an event after that one comes
	timeout "$2" dmsetup wait bow "$1" || die "no event after $1"
}

# ---- fail -----------------------------------------------------------------------

prepare
read -r written refused < <(bowio write -E -q -n 400 -s 4096 -r $SRC -g 10 $D $W/new)
[ "$refused" -gt 0 ] && [ "$written" -gt 64 ] || die "fail: $written written, $refused refused"
[ "$(field mode)" = full ] || die "fail: mode $(field mode)"
ok "fail: $written written, $refused refused"
not bowio write -s 4096 -r 12288+8 -g 9000 $D $W/new 2>$W/out >/dev/null
grep -q "No space left" $W/out || die "fail: not ENOSPC: $(cat $W/out)"
bowio write -q -n "$((written / 2))" -s 4096 -r $SRC -g 9500 $D $W/new >/dev/null ||
	die "fail: a changed block cannot be written"
same "fail: live view" verify -x $FREE $D $W/new
rollback "$disk"
same "fail: rolled back" verify -x $FREE "$disk" $W/old

# ---- low water -------------------------------------------------------------------

prepare low_water 60
n=$(events)
bowio write -q -n 5 -s 4096 -r $SRC -g 10 $D $W/new >/dev/null
[ "$(events)" = "$n" ] || die "low water: an event too soon"
bowio write -q -n 80 -s 4096 -r $SRC -g 100 $D $W/new >/dev/null &
wait_event "$n" 20
[ "$(field free)" -lt 60 ] || die "low water: $(field free) free"
wait
[ "$(events)" = $((n + 1)) ] || die "low water: $(events) events, there were $n"
[ "$(field mode)" = rw ] || die "low water: mode $(field mode)"
ok "low water: one event"
dmsetup message bow 0 commit
dmsetup remove bow

# ---- hold ------------------------------------------------------------------------

prepare on_full hold
n=$(events)
bowio write -t 4 -q -n 80 -s 4096 -r $SRC -g 10 $D $W/new >$W/count 2>$W/err &
writer=$!
wait_event "$n" 20
[ "$(field mode)" = full ] || die "hold: mode $(field mode)"
kill -0 $writer || die "hold: the writer was not held"
for i in 1 2 3; do
	dmsetup suspend --noflush bow
	kill -0 $writer || die "hold: gone in a noflush suspend: $(cat $W/err)"
	dmsetup resume bow
	kill -0 $writer || die "hold: gone after a noflush suspend: $(cat $W/err)"
done
[ "$(field mode)" = full ] || die "hold: mode $(field mode) after noflush"
[ ! -s $W/err ] || die "hold: $(cat $W/err)"
ok "hold: an event; requeued by a noflush suspend"

# A changed block is written all the while, block 0 too.
bowio write -s 4096 -r 0+8 -g 7000 $D $W/other >/dev/null
bowio write -s 512 -r 2+1 -g 7001 $D $W/other >/dev/null
ok "hold: changed blocks pass"

dmsetup message bow 0 commit
wait $writer || die "hold: the writer failed in spite of the commit: $(cat $W/err)"
[ "$(cat $W/count)" = "320 0" ] || die "hold: $(cat $W/count)"
ok "hold: a commit lets the writers go"
same "hold: live view after commit" verify -x 0+8 -x $FREE $D $W/new
dmsetup remove bow
same "hold: raw device" verify -x 0+8 -x $FREE "$disk" $W/new
expect 0 bow check "$disk"

prepare on_full hold
n=$(events)
bowio write -E -t 4 -q -n 80 -s 4096 -r $SRC -g 10 $D $W/new >$W/count 2>$W/err &
writer=$!
wait_event "$n" 20
# Each plain suspend fails those that are held; then the next are.
while kill -0 $writer 2>/dev/null; do
	timeout 20 dmsetup suspend bow || die "hold: suspend hangs"
	dmsetup resume bow
done
wait $writer || die "hold: $(cat $W/err)"
read -r written refused <$W/count
[ "$refused" -gt 0 ] && [ $((written + refused)) = 320 ] || die "hold: $written and $refused"
ok "hold: a plain suspend fails writers: $refused of 320"
rollback "$disk"
same "hold: rolled back" verify -x $FREE "$disk" $W/old

# Removal with writers held: forced, since they have it open.
prepare on_full hold
n=$(events)
bowio write -E -q -n 400 -s 4096 -r $SRC -g 10 $D $W/new >$W/count 2>$W/err &
writer=$!
wait_event "$n" 20
dmsetup suspend bow
dmsetup load bow --table "$(table "$disk")"
dmsetup resume bow
wait $writer || die "hold: $(cat $W/err)"
[ "$(field policy)" = fail ] || die "hold: policy $(field policy)"
ok "hold: a reload changes the policy"
rollback "$disk"
same "hold: rolled back after the reload" verify -x $FREE "$disk" $W/old

# New writers come while a noflush suspend is on its way: none may be refused.
prepare on_full hold
n=$(events)
bowio write -t 8 -q -n 25 -s 4096 -r $SRC -g 10 $D $W/new >$W/count 2>$W/err &
writer=$!
wait_event "$n" 20
: >$W/errs
for i in 1 2 3 4 5 6; do
	(
		bowio write -t 16 -n 2 -s 4096 -S $i -r $MORE $D $W/more >/dev/null 2>>$W/errs
	) &
	dmsetup suspend --noflush bow
	dmsetup resume bow
done
kill -0 $writer || die "hold: refused in a noflush suspend: $(cat $W/err)"
[ ! -s $W/errs ] || die "hold: refused in a noflush suspend: $(head -n 1 $W/errs)"
dmsetup message bow 0 commit
wait
[ ! -s $W/errs ] && [ ! -s $W/err ] || die "hold: $(cat $W/errs $W/err)"
ok "hold: writers that come in a noflush suspend"
dmsetup remove bow

# ---- commit ----------------------------------------------------------------------

prepare on_full commit
n=$(events)
bowio write -t 4 -q -n 200 -s 4096 -r $SRC -g 10 $D $W/new >$W/count
[ "$(cat $W/count)" = "800 0" ] || die "commit: $(cat $W/count)"
[ "$(field state)" = committed ] || die "commit: state $(field state)"
[ "$(events)" -gt "$n" ] || die "commit: no event"
ok "commit: the checkpoint was given up"
same "commit: live view" verify -x $FREE $D $W/new
dmsetup remove bow
same "commit: raw device" verify -x $FREE "$disk" $W/new
expect 0 bow check "$disk"
[ "$(dd if="$disk" bs=8 count=1 iflag=direct 2>/dev/null | head -c 6)" != dm-cow ] ||
	die "commit: block 0 has a log"
ok "commit: no log is left"
disk_gone a
