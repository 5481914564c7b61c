#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every allocation and every request of ours fails. Those of a constructor: the
# first one, the second, and so on until nothing is left to fail. The same for what
# the worker does for a message, a resume and a write. Each time the operation
# succeeds or says no, the device can be removed, and what is on it is the
# checkpoint.
# The allocator may print a call trace when it says no, that is all.
# kernels: uml debug
# timeout: 400
# boot: --allow Call.Trace:

# shellcheck disable=SC2015,SC2086
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
quiet() {
	set_all probability 0 $all
	set_all times 0 $all
}

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
without_memory() {
	set_all times $many $memory
	set_all probability 100 $memory
	not "$@" 2>$W/out
	quiet
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
one_by_one "a table" ""
dmsetup remove bow
dmsetup create bow --table "0 16384 bow $raw"
one_by_one "a table in place of another" " 1 resume"
dmsetup remove bow
same "nothing has happened" verify $raw $W/old

# --- the worker's, counted ---------------------------------------------------------------

# A message and a resume have the worker do what they want done, and a write is
# answered by it: so the N-th of all that our functions ask for fails. The kernel
# counts when the interval is not 1, and never forgets.
declare -A count=([failslab]=0 [fail_page_alloc]=0 [fail_make_request]=0)

arm() { # KIND N
	local at=$((count[$1] + $2))

	echo $at >"$faults/$1/interval"
	echo 1 >"$faults/$1/times"
	echo 100 >"$faults/$1/probability"
}

has_failed() { # KIND
	[ "$(cat "$faults/$1/times")" = 0 ]
}

rest() { # KIND
	local at

	echo 0 >"$faults/$1/probability"
	at=$(cat "$faults/$1/interval")
	! has_failed "$1" || [ "$at" = 1 ] || count[$1]=$at
}

old_device() {
	bowio fill $raw $W/old
	cp $W/old $W/new
	dmsetup create bow --table "0 16384 bow $raw"
	bowio discard -r $FREE $D
}

write_some() {
	bowio write -q -n 1 -s 32768 -r 1024+64 -g 100 $D $W/new &&
		# What is at the end of free space is ours, and must move.
		bowio write -q -n 2 -s 4096 -k 8 -r $((16384 - 32))+16 -g 200 $D $W/new &&
		bowio write -n 1 -s 4096 -r 0+8 -g 300 $D $W/new
}

entered() {
	old_device
	checkpoint
}

left() {
	entered
	write_some
	dmsetup remove bow
	dmsetup create bow --notable
	dmsetup load bow --table "0 16384 bow $raw 1 resume"
}

# Before the faults, with them, and after: of each operation.
before_checkpoint() { old_device; dmsetup suspend bow; }
with_checkpoint() { dmsetup message bow 0 checkpoint; }
after_checkpoint() { dmsetup resume bow; }

before_write() { entered; }
with_write() { write_some; }
after_write() { :; }

before_resume() { left; }
with_resume() { dmsetup resume bow; }
after_resume() { :; }

before_reclaim() { left; dmsetup resume bow; bowio discard -r 8192+4096 $D; dmsetup suspend bow; }
with_reclaim() { dmsetup message bow 0 reclaim; }
after_reclaim() { dmsetup resume bow; }

before_commit() { entered; write_some; }
with_commit() { dmsetup message bow 0 commit; }
after_commit() { :; }

is_old() {
	bowio verify -x $FREE $raw $W/old
}

is_new() {
	bowio verify -x $FREE $raw $W/new
}

# After all that: back to the checkpoint, or what was committed, as a whole.
judge() { # OPERATION
	local r=0

	bow restore $raw >$W/out 2>&1 || r=$?
	[ $r -le 1 ] || die "$what: bow restore gave $r: $(cat $W/out)"
	! is_old >$W/out 2>&1 || return 0
	[ "$1" = commit ] || die "$what: not what it was: $(cat $W/out)"
	is_new >$W/out 2>&1 || die "$what: neither old nor new: $(cat $W/out)"
}

# Sets rc to what became of the operation.
once() { # OPERATION KIND
	"before_$1" >/dev/null
	arm "$2" "$n"
	rc=0
	"with_$1" >$W/life 2>&1 || rc=$?
	rest "$2"
	"after_$1"
	dmsetup remove bow
	judge "$1"
}

one_after_the_other() { # OPERATION KIND
	local n=1 refused=0 rc what failed=1

	while [ $failed = 1 ]; do
		what="$1, $2 number $n"
		once "$1" "$2"
		has_failed "$2" || failed=0
		[ $failed = 1 ] || [ $rc = 0 ] || die "$what: no fault, and yet: $(cat $W/life)"
		[ $rc = 0 ] || refused=$((refused + 1))
		[ $rc = 0 ] || [ "$2" = fail_make_request ] || [ "$1" != write ] ||
			die "$what: a write failed for lack of memory: $(cat $W/life)"
		n=$((n + failed))
	done
	step "$1: $((n - 1)) times $2, $refused times it said no"
	total=$((total + n - 1))
	in_step "$1" "$2"
}

# The last one was not reached, so how far the kernel has counted is not known:
# more of the same until it is.
in_step() { # OPERATION KIND
	[ "$n" -gt 1 ] || return 0	# it never asks
	while ! has_failed "$2"; do
		"before_$1" >/dev/null
		echo 100 >"$faults/$2/probability"
		"with_$1" >$W/life 2>&1 || :
		rest "$2"
		"after_$1"
		dmsetup remove bow
		judge "$1"
	done
}

total=0
for kind in $all; do
	for operation in checkpoint write resume reclaim commit; do
		one_after_the_other $operation $kind
	done
done
[ $total -gt 50 ] || die "only $total faults"
step "$total faults"

# Every copy without memory: the reserve serves them all, one after the other.
entered
set_all interval 1 $memory
set_all times $many $memory
set_all probability 100 $memory
ok "writes without any memory" write_some
quiet
[ "$(field copies)" -gt 0 ] || die "nothing was copied"
dmsetup remove bow
what="writes without memory"
judge write
dmsetup remove raw
