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

# shellcheck disable=SC2086
# shellcheck source=tests/vm/block.sh
. /tests/block.sh
# shellcheck source=tests/vm/faults.inc
. /tests/faults.inc

dmsetup create raw --table "0 8192 linear $D_SMALL 0"
raw=/dev/mapper/raw

# --- modules and tables --------------------------------------------------------------

unload() {
	rmmod dm-bow dm-cow
	[ ! -d /sys/module/dm_cow ] || die "dm-cow is still there"
}

unload
# Only what the init functions of a module do; not what loading one takes.
# shellcheck disable=SC2046
below $(address do_one_initcall)
without_memory modprobe dm-cow
modprobe dm-cow
modprobe dm-bow
faults_of cow bow

bowio fill $raw $W/old
dmsetup create bow --notable
one_by_one "a table" bow bow $raw
dmsetup remove bow
dmsetup create bow --table "0 8192 bow $raw"
one_by_one "a table in place of another" bow bow "$raw 1 resume"
dmsetup remove bow
same "nothing has happened" verify $raw $W/old

# --- the worker's -------------------------------------------------------------------------

operations bow $raw
dmsetup remove raw
