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

# --- the worker's -------------------------------------------------------------------------

opfail bow $raw | tee $W/out | sed -u 's/^/# /'
[ "$(sed -n 's/^\([0-9]*\) faults$/\1/p' $W/out)" -gt 100 ] || die "too few faults"
dmsetup remove raw
