# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2015,SC2034,SC2086,SC2120
#
# For the tests of I/O errors (32x): sourced in the guest.  The device under bow is
# a dm device whose I/O fails when it is told to, see kmod/dm-fault.c.

# shellcheck source=tests/vm/block.sh
. /tests/block.sh

modprobe -a dm-fault dm-bow
case=				# what is being tried, for messages
LOWER=/dev/mapper/lower
SECTORS=12288			# of the device: 6 MiB, 1536 blocks
FREE=8192+2048			# 256 blocks, in the middle of it
gen=1000			# of the last write

echo "${FUA:-N}" >/sys/module/dm_cow/parameters/fua
disk a 6 cache_size=1		# with a cache to be flushed
dmsetup create lower --table "0 $SECTORS fault $disk"
at_exit 'dm_remove_quietly bow; dm_remove_quietly lower'
bowio fill $LOWER $W/old

# fail WHAT WHERE SKIP COUNT HOW, see kmod/dm-fault.c; WHERE is first+sectors.
fail() {
	dmsetup message lower 0 "fail $1 ${2%+*} ${2#*+} $3 $4 $5"
}

heal() {
	dmsetup message lower 0 heal
}

matched() {
	dmsetup status lower | cut -d' ' -f4
}

failed() {
	dmsetup status lower | cut -d' ' -f5
}

was_hit() { # WHAT
	[ "$(failed)" -gt 0 ] || die "$1: nothing has failed"
}

events() {
	dmsetup info -c --noheadings -o events bow | tr -d ' '
}

# A checkpoint, and the places of the log in it.
begin() { # [FEATURE...]
	load $LOWER "$@"
	bowio discard -r $FREE $D
	checkpoint
	cp $W/old $W/new
	look
	event0=$(events)
}

# slot1, seal, live0...: sectors; BACKUPS: where backups go, behind all these.
look() {
	local word at=${FREE%+*} end=$((${FREE%+*} + ${FREE#*+}))

	for word in $(bowio header $LOWER); do
		declare -g "${word%%=*}=${word#*=}"
		case $word in
		slot1=*|seal=*|live*=*)
			[ "${word#*=}" -lt "$at" ] || at=$((${word#*=} + 8)) ;;
		esac
	done
	BACKUPS=$at+$((end - at))
}

put() { # SECTOR [SECTORS]: a write that must succeed
	gen=$((gen + 1))
	bowio write -s $((${2:-8} * 512)) -r "$1+${2:-8}" -g $gen $D $W/new >/dev/null ||
		die "$case: write at $1"
}

refused() { # SECTOR [SECTORS]: a write that must get EIO, and nothing else
	gen=$((gen + 1))
	is "$(bowio write -e -s $((${2:-8} * 512)) -r "$1+${2:-8}" -g $gen $D $W/new)" "0 1" \
		"$case: writes done and refused at $1"
}

shows() { # STATE MODE EVENTS
	is "$(field state) $(field mode) $(($(events) - event0))" "$*" "$case: state, mode, events"
}

live() { # the device says what was written; where it refused, what it said before
	bowio verify -x $FREE ${1+"$@"} $D $W/new || die "$case: live view"
}

# The device is gone, the disk is whole again: back to the checkpoint, bit for bit.
back() {
	dmsetup remove bow
	heal
	expect 1 bow check $LOWER >/dev/null
	expect 1 bow restore -q $LOWER >/dev/null
	bowio verify -x $FREE $LOWER $W/old || die "$case: not rolled back"
	echo "# ok: $case"
}

# The same, but forward: all that was written.
forward() {
	dmsetup remove bow
	heal
	expect 0 bow commit $LOWER >/dev/null
	expect 0 bow check $LOWER >/dev/null
	bowio verify -x $FREE $LOWER $W/new || die "$case: not all is there"
	bowio fill $LOWER $W/old
	echo "# ok: $case"
}
