#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
#
# The table of errors in dm-bow.rst: moves of slot 1, the seal and live copies, and
# a log that fails when there is no space.

# shellcheck disable=SC2015,SC2034,SC2086,SC2119,SC2154
# shellcheck source=tests/vm/errors.sh
. /tests/errors.sh

S=2048		# somewhere in what is protected

# ---- moves ------------------------------------------------------------------------

for what in slot1 live0 live1; do
	case="move of $what: two new places are bad"
	begin
	put 1024
	look
	fail write "$BACKUPS" 0 2 drop
	put "${!what}"
	is "$(failed)" 2 "$case: failed writes"
	shows checkpoint rw 0
	put $S
	live
	back

	case="move of $what: all new places are bad"
	begin
	put 1024
	look
	fail write "$BACKUPS" 0 0 drop
	refused "${!what}"
	was_hit "$case"
	shows checkpoint rw 0
	heal
	put "${!what}"
	put 0
	put 8
	put $S
	live
	back
done

case="move of a live copy that cannot be read"
begin
fail read "$live1+8" 0 0 drop
free=$(field free)
refused "$live1"
is "$(failed)" 1 "$case: reads that failed"
is "$(field free)" "$free" "$case: free blocks"
shows checkpoint rw 0
heal
put "$live1"
live
back

# The header that names the new place.  Slot 0 is the newest: slot 1 is written by
# a group, and the header alone by the move of slot 1.
move_header_fails() { # WHAT HOW
	local own=

	case="header that names the new place of $1: $2"
	begin
	put 1024
	put 1032
	look
	if [ "$1" = slot1 ]; then
		fail write 0+1 0 1 "$2"
	else
		fail write "$slot1+8" 0 1 "$2"
	fi
	refused "${!1}"
	was_hit "$case"
	shows checkpoint failed 1
	heal
	[ "$1" != live0 ] || own=0
	[ "$1" != live1 ] || own=8
	for hidden in 0 8 128; do
		if [ "$hidden" = "$own" ]; then refused $hidden; else put $hidden; fi
	done
	refused $S
	put 1024
	not dmsetup message bow 0 commit 2>/dev/null
	live
	if [ "$2" = drop ]; then back; else forward; fi
}

move_header_fails slot1 drop
move_header_fails slot1 'done'
move_header_fails seal drop
move_header_fails live0 'done'
move_header_fails live1 drop

# ---- no space ----------------------------------------------------------------------

case="the log fails while writers wait for space"
begin on_full hold
gen=$((gen + 300))
bowio write -e -q -n 300 -s 4096 -r 2048+2400 -g $gen $D $W/new >$W/count &
writer=$!
gen=$((gen + 300))
held() {
	[ "$(field mode)" = full ]
}
wait_for 60 held
look

fail flush 0+1 0 1 drop
refused "$seal"
wait $writer
read -r written refused <$W/count
[ "$refused" -gt 0 ] && [ $((written + refused)) = 300 ] || die "$case: $written and $refused"
is "$(field state) $(field mode)" "checkpoint failed" "$case"
heal
live
back
dmsetup remove lower
disk_gone a
