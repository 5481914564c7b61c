#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Entering, committing, resuming and restoring, with each of their I/Os failing in
# turn, once and from then on, with and without having been done.  Whatever is said
# afterwards must be true, and what was live must be live.

# kernels: 6.12
# timeout: 600

# shellcheck disable=SC2015,SC2034,SC2086,SC2119,SC2154
# shellcheck source=tests/vm/errors.sh
. /tests/errors.sh

MAX=60			# no operation here has as many I/Os as this
FREE_ONE=9900		# a block that is free, and not used by the log
tries=0

# each WHAT COUNT HOW FUNCTION FIRST STEP: FUNCTION with I/O FIRST, FIRST + STEP...
# failing, until none is hit; the first time for a FUNCTION that shows how many I/Os
# it has.
declare -A ios
each() {
	local k count=$2 how=$3

	for ((k = $5; k < ${ios[$4]:-MAX}; k += $6)); do
		case="$1, I/O $k fails ($2: ${2/0/all that follow too}, $3)"
		fault=("any" "0+$SECTORS" "$k" "$count" "$how")
		nth=$k over=
		"$4"
		if [ -n "$over" ]; then
			ios[$4]=$k
			return 0
		fi
		tries=$((tries + 1))
	done
	[ -n "${ios[$4]-}" ] || die "$1 never ends"
}

# Told at the end of each part; one that has tried nothing has shown nothing.
part() { # WHAT LEAST
	[ $tries -ge "$2" ] || die "$1: only $tries errors"
	ok "$1: $tries errors" true
	tries=0
}

# message WORD: "ok", "none" if no I/O failed, or what the message failed with
message() {
	local said rc=0

	said=$(dmsetup message bow 0 "$1" 2>&1) || rc=$?
	if [ "$(failed)" = 0 ]; then
		is $rc 0 "$case: nothing failed, but the message did"
		answer=none
	else
		said=${said%%$'\n'*}
		[ $rc = 0 ] && answer=ok || answer=${said##*: }
	fi
	heal
}

# What the raw device says, if there is no log: all of it, as before.
plain() {
	! bowio header $LOWER >/dev/null || die "$case: a log is there"
	bowio verify -x $FREE $LOWER $W/old || die "$case: the device is not as before"
}

free_one_is_live() { # DEVICE
	bowio verify -x 0+$FREE_ONE -x $((FREE_ONE + 8))+$SECTORS "$1" $W/new ||
		die "$case: what was written to free space is gone"
}

# Offline, all that is live becomes what there is.
keeps() { # COMMAND...
	expect 0 "$@" >/dev/null
	expect 0 bow check $LOWER >/dev/null
	bowio verify -x $FREE $LOWER $W/new || die "$case: not all is there"
}

# ---- enter ---------------------------------------------------------------------------

# Neither in a checkpoint nor out of it: what is promised of such a device.
in_state_failed() {
	is "$(field mode)" failed "$case: mode"
	bowio verify -x $FREE $D $W/old || die "$case: not readable as before"
	for sector in 2048 0 128; do
		refused $sector
	done
	put $FREE_ONE
	live
	free_one_is_live $D
	dmsetup suspend bow
	not dmsetup message bow 0 checkpoint 2>/dev/null
	dmsetup resume bow
	is "$(field state)" failed "$case: state"
}

# Three ways out of it.
leave_state_failed() {
	local rc=0

	left=$((left + 1))
	case $((left % 3)) in
	0)	dmsetup message bow 0 commit
		is "$(field state) $(field mode)" "committed rw" "$case"
		put 0
		put 2048
		live
		dmsetup remove bow
		keeps bow check $LOWER ;;
	1)	dmsetup remove bow
		keeps bow commit $LOWER
		free_one_is_live $LOWER
		plain ;;
	2)	dmsetup remove bow
		bow restore -q $LOWER >/dev/null || rc=$?
		[ $rc -le 1 ] || die "$case: restore says $rc"
		plain ;;
	esac
}

enter() {
	local word state

	load $LOWER
	bowio discard -r $FREE $D
	cp $W/old $W/new
	event0=$(events)
	dmsetup suspend bow
	fail "${fault[@]}"
	message checkpoint
	dmsetup resume bow
	state=$(field state)
	is "$(($(events) - event0))" 1 "$case: events"
	case $answer/$state in
	none/checkpoint)
		live
		back
		over=1 ;;
	"Input/output error/trim")
		is "$(field mode)" rw "$case: mode"
		bowio verify -x $FREE $D $W/old || die "$case: not as before"
		put 2048
		live
		dmsetup remove bow
		keeps bow check $LOWER
		bowio fill $LOWER $W/old ;;
	"Input/output error/failed")
		in_state_failed
		leave_state_failed
		[ $((left % 3)) != 0 ] || bowio fill $LOWER $W/old ;;
	*)	die "$case: '$answer', $state" ;;
	esac
}

left=0
each enter 1 drop enter 0 4
each enter 0 drop enter 11 3
each enter 1 'done' enter 15 6
each enter 0 torn enter 13 6
[ $left -ge 3 ] || die "only $left times was a checkpoint neither entered nor left"
part "enter (neither in nor out $left times)" 9

# ---- commit, by message and by policy --------------------------------------------------

# A commit that failed has got as far as its intent, or not even so far: that alone
# decides what anybody will do about it, and what it is must be what is there.
after_commit_failed() {
	local action rc=0

	live
	for sector in 0 8 128; do
		refused $sector
	done
	put 2048 16
	refused 4096
	not dmsetup message bow 0 commit 2>/dev/null
	live
	dmsetup remove bow
	case $((tries % 3)) in
	0)	keeps bow commit $LOWER ;;
	1)	load $LOWER resume
		if [ "$(field state)" = checkpoint ]; then
			not_yet=$((not_yet + 1))
			dmsetup message bow 0 commit
		else
			is "$(field state) $(field mode)" "trim rw" "$case: resumed"
		fi
		live
		dmsetup remove bow
		keeps bow check $LOWER ;;
	2)	bow restore --json $LOWER >$W/said || rc=$?
		action=$(sed -n 's/.*"action": *"\([^"]*\)".*/\1/p' $W/said)
		case $action/$rc in
		commit-finished/1|none/0)	# nothing is left to do if the last flush failed
			keeps bow check $LOWER ;;
		rolled-back/1)
			not_yet=$((not_yet + 1))
			bowio verify -x $FREE $LOWER $W/old || die "$case: not rolled back"
			is "$nth" 0 "$case: rolled back in spite of an intent: I/O" ;;
		*)	die "$case: restore says '$action', status $rc" ;;
		esac
		# The first I/O is the intent.
		[ "$nth/${fault[4]}" != 0/drop ] ||
			is "$action" rolled-back "$case: without an intent" ;;
	esac
	bowio fill $LOWER $W/old
}

committed() { # and nothing has failed
	is "$(field state) $(field mode)" "committed rw" "$case"
	live
	dmsetup remove bow
	keeps bow check $LOWER
	bowio fill $LOWER $W/old
}

commit() {
	begin
	put 0
	put 128
	put 2048 16
	fail "${fault[@]}"
	message commit
	if [ "$answer" = none ]; then
		committed
		over=1
		return
	fi
	is "$answer" "Input/output error" "$case: message"
	shows checkpoint failed 1
	after_commit_failed
}

not_yet=0
tries=2			# this one is restored
each commit 1 drop commit 0 3
each commit 0 drop commit 1 5
each commit 1 'done' commit 5 9
each commit 0 torn commit 4 5
[ $not_yet -gt 0 ] || die "an intent was always there"
part commit 7

# As many blocks as there are, and then one more.
give_up() {
	local nr

	begin on_full commit
	put 0
	put 2048 1024
	nr=$(($(field free) - 2))	# kept for the log
	put 3072 $((nr * 8))
	put 128
	shows checkpoint rw 0
	fail "${fault[@]}"
	gen=$((gen + 1))
	answer=$(bowio write -e -s 4096 -r 7168+8 -g $gen $D $W/new)
	if [ "$(failed)" = 0 ]; then
		heal
		is "$answer" "1 0" "$case: the write"
		committed
		over=1
		return
	fi
	heal
	is "$answer" "0 1" "$case: the write"
	shows checkpoint failed 2
	after_commit_failed
}

each "commit by policy" 1 drop give_up 0 7
part "commit by policy" 2

# ---- resume and reclaim ------------------------------------------------------------------

resume() {
	local said

	fail "${fault[@]}"
	if said=$(load $LOWER resume 2>&1); then
		is "$(failed)" 0 "$case: resumed in spite of an error"
		heal
		live
		shows checkpoint rw 0
		over=1
		return
	fi
	was_hit "$case"
	heal
	not dm_exists bow
	[[ $said == *"Input/output error"* ]] || die "$case: $said"
	# It is not for the header alone that it was refused: try the same again.
	expect 1 bow check $LOWER >/dev/null
}

begin
put 0
put 2048 64
put 128
dmsetup remove bow
event0=0
for how in "1 drop" "0 drop"; do
	each resume $how resume 0 4
	dm_exists bow || load $LOWER resume
	live
	fail any 0+$SECTORS 0 0 drop
	bowio discard -r 9000+1000 $D
	suspended reclaim
	is "$(matched)" 0 "reclaim: I/O"
	heal
	# Each attempt may have halved the reserve, so there was no space before this.
	put 4096 16
	live
	dmsetup remove bow
done
part "resume (and reclaim needs no I/O)" 6

# ---- restore and commit, by the tool ---------------------------------------------------------

# All the errors of one restore, or commit, after the other, on the same device.
offline() { # COMMAND...
	local rc=0

	fail "${fault[@]}"
	"$@" >$W/said 2>&1 || rc=$?
	if [ "$(failed)" = 0 ]; then
		heal
		case $1-$2/$rc in
		bow-restore/[01]|bow-commit/0)
			over=1
			return ;;
		esac
		die "$case: nothing failed, but it says $rc: $(cat $W/said)"
	fi
	heal
	[ $rc = 8 ] || [ $rc = 4 ] || die "$case: status $rc: $(cat $W/said)"
}

restore() {
	offline bow restore -q $LOWER
}

commit_offline() {
	offline bow commit $LOWER
}

each restore 1 drop restore 0 2
case="restore after all that"
expect 0 bow check $LOWER >/dev/null
bowio verify -x $FREE $LOWER $W/old || die "not rolled back"

begin
put 0
put 128
put 2048 64
dmsetup remove bow
each restore 0 torn restore 1 3
bow restore -q $LOWER || [ $? = 1 ]
expect 0 bow check $LOWER >/dev/null
bowio verify -x $FREE $LOWER $W/old || die "not rolled back, torn"
part "restore, by the tool" 10

begin
put 0
put 128
put 2048 64
dmsetup remove bow
each "commit, by the tool" 1 drop commit_offline 0 3
keeps bow check $LOWER
part "commit, by the tool" 3
dmsetup remove lower
disk_gone a
