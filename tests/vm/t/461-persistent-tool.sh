#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# blksnap take --persistent, resume, remove, and what they refuse.
# kernels: 6.12 uml debug kcsan
# timeout: 600

# shellcheck disable=SC2015,SC2086,SC2154,SC2251
# shellcheck source=/dev/null
. /tests/t/4snap.inc

dmsetup create low --table "0 98304 linear $D1 1310720"
low=/dev/mapper/low o=/dev/mapper/o

json() { # KEY: of "blksnap list", of the origin or its snapshot
	blksnap list --json | grep -o "\"$1\":[^,}]*" | cut -d: -f2- | tr -d '"' | tail -1
}

same() {
	blockdev --flushbufs /dev/mapper/o-$1
	dd if=/dev/mapper/o-$1 bs=1M iflag=direct status=none | cmp - $work/want ||
		die "the image o-$1 is not what was there"
}

blksnap attach --create o $low
expect 16 blksnap resume --store $store o 2>$work/err
grep -q "no snapshot in that store" $work/err
make_tree $o
umount $mnt
dd if=$low of=$work/want bs=1M iflag=direct status=none

step "undone"
mkfifo $work/gate
blksnap take --persistent --test-wait suspended -n never --store $store o <$work/gate 2>$work/err &
tool=$!
exec 7>$work/gate
until_true is_suspended o
dmsetup resume o
exec 7>&-
expect 8 wait $tool
nothing_suspended
no_images
expect 0 blksnap check --store $store $D_SMALL
is "$(json persistent)" "null" "state"

step "taken"
expect 2 blksnap take --persistent --store $store o p 2>/dev/null
blksnap take --persistent --dry-run --store $store o
expect 0 blksnap check --store $store $D_SMALL
blksnap take --persistent -n one --block-size 4K --store $store o
is "$(json mode) $(json persistent)" "persistent active" "mode and state"
blksnap list | grep -q persistent
mount $o $mnt
change $mnt
same one
expect 8 blksnap take --persistent -n two --store $D3 o 2>/dev/null
expect 8 blksnap take -n two --store $D3 o 2>/dev/null
same one
expect 16 blksnap take -n two --store $store o 2>/dev/null
expect 16 blksnap restore --store $store $low 2>/dev/null
expect 16 blksnap detach o 2>/dev/null

step "resumed"
umount $mnt
dmsetup remove --retry o-one
dmsetup remove --retry o
expect 1 blksnap check --quiet --store $store $low
blksnap attach --create o $low
expect 16 blksnap take --persistent --store $store o 2>$work/err
grep -q "blksnap resume" $work/err
blksnap resume --dry-run --store $store o
blksnap resume -n again --store $store o
same again
mount $o $mnt
change $mnt
same again
umount $mnt

step "removed for good"
blksnap remove --dry-run again
same again
blksnap remove again
is "$(json persistent)" null "state"
no_images
expect 0 blksnap check --store $store $D_SMALL
blksnap detach o

step "without an image"
blksnap attach --create o $low
blksnap take --persistent -n bare --store $store o
dmsetup remove --retry o-bare
expect 16 blksnap detach o 2>/dev/null
blksnap remove --all --dry-run o
expect 16 blksnap check --store $store $low 2>/dev/null
blksnap remove --all o
expect 0 blksnap check --store $store $D_SMALL
expect 16 blksnap remove --all o 2>/dev/null
blksnap detach o

step "taken once more, and rolled back"
blksnap attach --create o $low
dd if=$low of=$work/want bs=1M iflag=direct status=none
blksnap take --persistent -n three --store $store o
mount $o $mnt
change $mnt
umount $mnt
dmsetup remove --retry o-three
dmsetup remove --retry o
expect 1 blksnap restore --quiet --store $store $low
cmp $low $work/want
expect 0 blksnap check --store $store $low
