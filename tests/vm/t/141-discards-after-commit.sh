#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# After a commit a discard reaches the device below, if that takes any, and what it
# covers is free for the next checkpoint in either case.

# shellcheck source=tests/vm/block.sh
. /tests/block.sh

FREE=32768+32768	# sectors of 65536
LATER=8192+4096

committed() { # NAME [ATTRIBUTE]
	disk "$1" 32 "${@:2}"
	load "$disk"
	bowio fill $D $W/old
	bowio discard -r $FREE $D
	checkpoint
	bowio write -n 20 -s 4096 -r 0+8192 -g 100 $D $W/old >/dev/null
	dmsetup message bow 0 commit
	is "$(field state)" committed "state"
}

discard_later() { # sets $gained
	local free

	free=$(field free)
	bowio discard -r $LATER $D
	gained=$(($(field free) - free))
	is "$gained" 512 "blocks that became free"
}

# What was discarded holds backups now, and a rollback leaves the rest as it was.
next_checkpoint() {
	checkpoint
	cp $W/old $W/new
	bowio write -n 100 -q -s 4096 -r 16384+8192 -g 200 $D $W/new >/dev/null
	same "live view" verify -x $FREE -x $LATER $D $W/new
	rollback "$disk"
	same "rolled back" verify -x $FREE -x $LATER "$disk" $W/old
}

committed a
before=$(blk_stat "$disk" discards)
discard_later
[ "$(blk_stat "$disk" discards)" -gt "$before" ] || die "the discard did not reach the device"
next_checkpoint
disk_gone a

committed b discard=0
is "$(blk_limit "$disk" discard_max_bytes)" 0 "discards of the device"
discard_later
same "nothing has happened to it" verify -x $FREE $D $W/old
next_checkpoint
disk_gone b
