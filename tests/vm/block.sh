# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the tests of single blocks (1xx): sourced in the guest, see lib.sh.

# shellcheck source=tests/vm/lib.sh
. /tests/lib.sh
export DM_DISABLE_UDEV=1
# shellcheck disable=SC2034
D=/dev/mapper/bow
W=/run/block
rm -rf $W
mkdir -p $W
at_exit "rm -rf $W"

table() { # DEV [FEATURE...]
	local dev=$1 n

	shift
	n=$#
	[ $n = 0 ] || set -- $n "$@"
	echo "0 $(sectors "$dev") bow $dev${*:+ $*}"
}

load() { # DEV [FEATURE...]
	dmsetup create bow --table "$(table "$@")"
}

suspended() { # MESSAGE
	dmsetup suspend bow
	dmsetup message bow 0 "$1"
	dmsetup resume bow
}

checkpoint() {
	suspended checkpoint
}

# Field of the status line, by name.
field() {
	local names="state bs blocks free backup loose changed log copies collisions groups flushes policy mode memory peak ahead"
	local f n i=2

	read -ra f <<<"$(dmsetup status bow)"
	for n in $names; do
		i=$((i + 1))
		[ "$n" != "$1" ] || { echo "${f[i]}"; return; }
	done
	die "no status field $1"
}

# The place of something of the log, in sectors: slot1, seal, prev, live0...
place() { # DEV NAME
	local word

	for word in $(bowio header "$1"); do
		[ "${word%%=*}" != "$2" ] || { echo "${word#*=}"; return; }
	done
	die "no $2 in the log"
}

# The device goes back to the checkpoint: once, and never again.
rollback() { # DEV
	dmsetup remove bow
	expect 1 bow check "$1"
	expect 1 bow restore "$1"
	expect 0 bow restore "$1"
	expect 0 bow check "$1"
}

same() { # WHAT BOWIO-ARGUMENT...
	local what=$1

	shift
	ok "$what" bowio "$@"
}

modprobe dm-bow
load_null_blk
