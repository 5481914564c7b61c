#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every allocation and every request of ours fails. Those of a constructor: the
# first one, the second, and so on until nothing is left to fail. All others: all
# that is asked for below one function, function by function, through a whole life
# of a device. Each time the operation succeeds or says no, the device can be
# removed, and what is on it is the checkpoint.
# The allocator may print a call trace when it says no, that is all.
# kernels: uml debug
# timeout: 400
# boot: --allow Call.Trace:

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

faults=/sys/kernel/debug
[ -d $faults/failslab ] && [ -d $faults/fail_page_alloc ] && [ -d $faults/fail_make_request ] ||
	skip "this kernel fails nothing on demand"

FREE=8192+8192			# sectors of 16384
dmsetup create raw --table "0 16384 linear $D_SMALL 0"
raw=/dev/mapper/raw

set_all() { # ATTRIBUTE VALUE KIND...
	local kind

	for kind in "${@:3}"; do
		echo "$2" >"$faults/$kind/$1"
	done
}

many=1000000
memory="failslab fail_page_alloc" all="failslab fail_page_alloc fail_make_request"
# shellcheck disable=SC2086
quiet() {
	set_all probability 0 $all
	set_all times 0 $all
}

# shellcheck disable=SC2086
prepare() {
	at_exit quiet
	quiet
	set_all verbose 0 $all
	set_all interval 1 $all
	set_all task-filter N $all
	set_all stacktrace-depth 32 $all
	set_all ignore-gfp-wait N $memory
	set_all ignore-gfp-highmem N fail_page_alloc
	set_all min-order 0 fail_page_alloc
	echo 1 >"/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor raw)/make-it-fail"
}

# What fails has one of these addresses in its call trace.
# shellcheck disable=SC2086
below() { # FIRST END
	set_all require-start "0x$1" $all
	set_all require-end "0x$2" $all
}

# --- our functions -----------------------------------------------------------------

# "ADDRESS END NAME" of each, in order.
functions() {
	grep -E '^[0-9a-f]+ [tT] .*\[dm_(cow|bow)\]$' /proc/kallsyms | grep -v ' __pfx_' | sort |
		awk 'at && at != $1 { print at, $1, name }
			{ at = $1; name = $3 }
			END { print at, "ffffffffffffffff", name }'
}

all_of_ours() {
	functions >$W/functions
	[ "$(wc -l <$W/functions)" -gt 50 ] || die "no functions of ours: $(cat $W/functions)"
	below "$(head -n 1 $W/functions | cut -d' ' -f1)" "$(tail -n 1 $W/functions | cut -d' ' -f2)"
}

# --- one by one ----------------------------------------------------------------------

one_by_one() { # WHAT FEATURES
	step "$1: $(dmfail bow 16384 bow "$raw$2")"
}

# All allocations of COMMAND fail, and so does it.
# shellcheck disable=SC2086
without_memory() {
	set_all times $many $memory
	set_all probability 100 $memory
	not "$@" 2>$W/out
	quiet
	[ "$(cat $faults/failslab/times)" = 0 ] || die "not quiet"
}

address() { # of a function of the kernel, and its end
	awk -v name="$1" 'at { if ($1 != at) { print at, $1; exit } }
		$3 == name && !at { at = $1 }' /proc/kallsyms
}

unload() {
	rmmod dm-bow dm-cow
	[ ! -d /sys/module/dm_cow ] || die "dm-cow is still there"
}

prepare
unload
# Only what the init functions of a module do; not what loading one takes.
# shellcheck disable=SC2046
below $(address do_one_initcall)
without_memory modprobe dm-cow
modprobe dm-cow
modprobe dm-bow
all_of_ours

bowio fill $raw $W/old
dmsetup create bow --notable
for features in "" " 1 resume" " 2 block_size 1048576"; do
	one_by_one "a table${features:+ with$features}" "$features"
done
dmsetup remove bow
dmsetup create bow --table "0 16384 bow $raw"
one_by_one "a table in place of another" " 1 resume"
dmsetup remove bow
same "nothing has happened" verify $raw $W/old

# --- all below one function --------------------------------------------------------------

# What a user would do, whatever comes of it: each step may fail.
life() {
	local rc

	mine='' wrong=0
	dmsetup create bow --table "0 16384 bow $raw" || return 0
	bowio discard -r $FREE $D || wrong=1
	dmsetup suspend bow
	rc=0
	dmsetup message bow 0 checkpoint || rc=$?
	dmsetup resume bow || mine="a resume"
	if [ $rc = 0 ]; then
		bowio write -t 3 -n 8 -s 512:65536 -a 512 -r 0+8192 -g 100 $D $W/new || wrong=1
		# What is at the end of free space is ours.
		bowio write -q -s 4096 -n 12 -k 8 -r $((16384 - 96))+96 -g 200 $D $W/new || wrong=1
		bowio write -s 4096 -r 0+8 -g 300 $D $W/new || wrong=1
	fi
	dmsetup remove bow || mine="a remove"
	dmsetup create bow --table "0 16384 bow $raw 1 resume" || return 0
	if [ $rc = 0 ]; then
		bowio write -n 4 -s 4096 -r 0+8192 -g 400 $D $W/new || wrong=1
		bowio discard -r 8192+4096 $D || wrong=1
		dmsetup suspend bow
		dmsetup message bow 0 reclaim
		dmsetup resume bow || mine="a resume"
	fi
	dmsetup message bow 0 commit
	dmsetup remove bow || mine="a remove"
}

is_old() {
	bowio verify -x $FREE $raw $W/old
}

is_new() {
	bowio verify -x $FREE $raw $W/new
}

# After all that: back to the checkpoint, or what was committed, as a whole.
judge() { # WHAT
	local rc=0

	[ -z "$mine" ] || die "$1: $mine must not fail: $(cat $W/life)"
	! dm_exists bow || die "$1: the device is still there"
	bow restore $raw >$W/out 2>&1 || rc=$?
	[ $rc -le 1 ] || die "$1: bow restore gave $rc: $(cat $W/out)"
	! is_old >$W/out 2>&1 || return 0
	# A commit was tried last. Where a write has failed nobody knows what is new.
	[ $wrong = 1 ] || is_new >$W/out 2>&1 || die "$1: neither old nor new: $(cat $W/out)"
}

# A life with faults of these kinds, below the functions chosen; was there any?
live() { # WHAT KIND...
	local kind rc=1

	bowio fill $raw $W/old
	cp $W/old $W/new
	set_all times $many "${@:2}"
	set_all probability 100 "${@:2}"
	life >$W/life 2>&1 || :
	set_all probability 0 "${@:2}"
	judge "$1"
	for kind in "${@:2}"; do
		[ "$(cat "$faults/$kind/times")" = $many ] || rc=0
	done
	return $rc
}

# First whether anything is asked for below some functions, then below half of them.
halves() { # FIRST-LINE NUMBER WHAT KIND...
	local at=$1 n=$2 part names

	[ "$n" -gt 0 ] || return 0
	part=$(sed -n "$at,$((at + n - 1))p" $W/functions)
	names=$(cut -d' ' -f3 <<<"$part" | tr '\n' ' ')
	below "$(head -n 1 <<<"$part" | cut -d' ' -f1)" "$(tail -n 1 <<<"$part" | cut -d' ' -f2)"
	lives=$((lives + 1))
	live "$3 below $names" "${@:4}" || return 0
	if [ "$n" = 1 ]; then
		ask=$((ask + 1))
		step "$3 below $names: $(tr '\n' ' ' <$W/life | cut -c 1-150)"
		return
	fi
	halves "$at" $((n / 2)) "${@:3}"
	halves $((at + n / 2)) $((n - n / 2)) "${@:3}"
}

sweep() { # CHUNK WHAT KIND...
	local lives=0 ask=0 i nr

	nr=$(wc -l <$W/functions)
	for ((i = 1; i <= nr; i += $1)); do
		halves $i $((nr - i + 1 < $1 ? nr - i + 1 : $1)) "${@:2}"
	done
	[ $ask -gt 5 ] || die "$2: only $ask functions were seen to ask"
	step "$2: $ask of $nr functions ask, $lives lives"
}

# shellcheck disable=SC2086
sweep 8 memory $memory
sweep 8 requests fail_make_request
dmsetup remove raw
