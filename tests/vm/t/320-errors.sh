#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The table of errors in dm-bow.rst, row by row: copies, log pages, flushes and
# hidden blocks fail once, and for good.  What does the writer get, what does the
# status say, and is the way back, or on, still there once the disk is?

# shellcheck disable=SC2015,SC2034,SC2086,SC2119,SC2154
FUA=${FUA:-N}	# or Y, see 323
# shellcheck source=tests/vm/errors.sh
. /tests/errors.sh

S=2048		# somewhere in what is protected

# ---- a copy ---------------------------------------------------------------------

case="old contents unreadable once"
begin
fail read "$S+8" 0 1 drop
refused $S
was_hit "$case"
shows checkpoint rw 0
put $S
live
back

case="old contents unreadable for good"
begin
fail read "$S+8" 0 0 drop
refused $S
refused $S
put $((S + 8))
put $((S + 64)) 32
shows checkpoint rw 0
heal
live
back

# The writes before begin a stream; nobody asks for the block behind the third.
case="old contents unreadable that are copied ahead"
begin
put $S
put $((S + 8))
fail read "$((S + 24))+8" 0 0 drop
put $((S + 16))
was_hit "$case"
is "$(field ahead)" 0 "$case: blocks copied ahead"
refused $((S + 24))
put $((S + 32))
shows checkpoint rw 0
heal
put $((S + 24))
live
back

case="two backups fail, the third does not"
begin
fail write "$BACKUPS" 0 2 drop
put $S
is "$(failed)" 2 "$case: failed writes"
shows checkpoint rw 0
heal
put $((S + 8))
live
back

case="three backups fail"
begin
fail write "$BACKUPS" 0 3 drop
refused $S
is "$(failed)" 3 "$case: failed writes"
shows checkpoint rw 0
# What failed is not tried again, so this needs no healing.
put $S
live
back

case="a backup fails although it was written"
begin
fail write "$BACKUPS" 0 1 'done'
put $S
put $((S + 8))
shows checkpoint rw 0
live
back

case="no backup can be written, or read, and so it stays"
begin
fail data "$BACKUPS" 0 0 drop
refused $S
was_hit "$case"
refused $((S + 8)) 16
shows checkpoint rw 0
heal
live
fail data "$BACKUPS" 0 0 drop
dmsetup remove bow
expect 1 bow check $LOWER >/dev/null
expect 1 bow restore -q $LOWER >/dev/null
heal
bowio verify -x "$FREE" $LOWER $W/old || die "$case: not rolled back"
echo "# ok: $case"

# ---- the log ----------------------------------------------------------------------

# In mode failed: who is refused, and who is not.
in_mode_failed() {
	shows checkpoint failed 1
	heal
	refused $S		# it was not done, nor is it now
	refused $((S + 512))
	put 8
	put 128 8
	put $((${FREE%+*} + 1968))	# free, and still not ours
	put 1024		# CHANGED, see below
	not dmsetup message bow 0 commit 2>/dev/null
	shows checkpoint failed 1
	live
}

page_fails() { # SLOT HOW
	case="log page for slot $1: $2"
	begin
	put 1024
	[ "$1" = 0 ] || put 1032
	look
	fail write "$([ "$1" = 1 ] && echo "$slot1" || echo 0)+8" 0 1 "$2"
	refused $S
	was_hit "$case"
	in_mode_failed
}

page_fails 0 drop
back
page_fails 1 torn
back
page_fails 0 torn
forward
page_fails 1 'done'
forward

for count in 1 0; do
	[ "$FUA" != Y ] || break	# there is none
	case="flush of a group, $count time(s) (0: for good)"
	begin
	put 1024
	fail flush 0+1 0 $count drop
	refused $S 16
	was_hit "$case"
	in_mode_failed
	if [ $count = 1 ]; then forward; else back; fi
done

case="the sealed page"
begin
put 1024
fail write "$seal+8" 0 0 drop
gen=$((gen + 200))
read -r written refused < <(bowio write -e -q -n 180 -s 4096 -k 16 -r 2048+6000 -g $gen $D $W/new)
gen=$((gen + 200))
was_hit "$case"
[ "$written" -gt 100 ] && [ "$refused" -gt 0 ] || die "$case: $written written, $refused refused"
S=$((8192 - 8 - 512)) in_mode_failed
back

# ---- hidden blocks ----------------------------------------------------------------

case="live copy unreadable, unwritable"
begin
fail read "$live1+8" 0 0 drop
not dd if=$D of=/dev/null bs=4096 skip=1 count=1 iflag=direct 2>/dev/null
put 8
fail write "$live1+8" 0 1 drop
refused 8
put 8
fail write "$live0+8" 0 1 drop
refused 0
shows checkpoint rw 0
heal
live
back
dmsetup remove lower
disk_gone a
