#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
#
# A chain of more than 20 log pages; then the filesystem claims free space, ours
# included, until next to nothing is left; then back, bit for bit.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

disk a 32
FREE=20480+45056		# all from 10 MiB on: 5632 blocks
load "$disk"
bowio fill $D $W/old
bowio discard -r $FREE $D
checkpoint
cp $W/old $W/new

# Every second block by itself, so that each is a record and no two are joined.
stride=16
bowio write -k $stride -n 1280 -s 4096 -r 0+20480 -g 3 $D $W/new >/dev/null
bowio write -k $stride -n 1280 -s 4096 -r 8+20472 -g 4000 $D $W/new >/dev/null
[ "$(field copies)" -gt 2500 ] || die "copies: $(field copies)"
same "live view, every block overwritten" verify -x $FREE $D $W/new

# Claim the upper half of free space, where the backups are: they move on.
left=$(field free)
bowio write -k $stride -n 1500 -s 4096 -r 40960+24576 -g 8000 $D $W/new >/dev/null
pages=$(place "$disk" sequence)
[ "$pages" -ge 20 ] || die "only $pages pages"
ok "$pages sealed pages"
[ "$(field free)" -lt "$left" ] || die "nothing claimed"

# All the rest, until space runs out.
read -r written refused < <(bowio write -E -q -n 5632 -s 4096 -r $FREE -g 20000 $D $W/new)
[ "$refused" -gt 0 ] || die "space never ran out: $written"
[ "$(field free)" -le 4 ] || die "$(field free) blocks are still free"
collisions=$(field collisions)
[ "$collisions" -gt 1500 ] || die "only $collisions collisions"
ok "$collisions collisions, $(field free) blocks left"
same "live view, nothing left" verify -x $FREE $D $W/new
echo "# $(dmsetup status bow)"
rollback "$disk"
same "rolled back" verify -x $FREE "$disk" $W/old

# The same once more with runs of blocks, then commit: what was written is there.
load "$disk"
bowio discard -r $FREE $D
checkpoint
cp $W/old $W/new
bowio write -t 2 -q -n 160 -s 65536 -r 0+20480 -g 40000 $D $W/new >/dev/null
read -r written refused < <(bowio write -E -t 2 -q -n 22 -s 1048576 -r $FREE -g 50000 $D $W/new)
suspended commit
same "live view after commit" verify -x $FREE $D $W/new
dmsetup remove bow
same "raw device after commit" verify -x $FREE "$disk" $W/new
disk_gone a
