#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
# timeout: 600
# shellcheck disable=SC2015,SC2034,SC2086,SC2154,SC2251
#
# Writes that must not wait; a device that grows below its origin; a take that is
# killed while it makes its store; a store that is named with another size.

# shellcheck source=/dev/null
. /tests/t/4grow.inc

o=/dev/mapper/o other=$work/other
mkdir $other
make_fs ext4 $D2
mount $D2 $other
make_origin

copied() {
	dmsetup status o | cut -d' ' -f7
}

nowait() { # OFFSET: says whether it was written
	xfs_io -d -c "pwrite -q -N -V 1 -b 4096 -S 7 $1 4096" $o 2>&1 || :
}

step "REQ_NOWAIT: EAGAIN where a copy is needed, and nowhere else"
is "$(nowait 65536)" "" "without a snapshot"
take_raw $other/s --size 4M
before=$(copied)
grep 'Resource temporarily unavailable' <<<"$(nowait 65536)" >/dev/null || die "it did not refuse to wait"
is "$(copied)" $before "blocks copied for a write that was refused"
bowio verify $o $work/o
dd if=$o of=$work/block bs=4096 skip=16 count=1 iflag=direct status=none
dd if=$work/block of=$o bs=4096 seek=16 oflag=direct conv=notrunc status=none
is "$(copied)" $((before + 1)) "blocks copied"
# The rest of that block of 16 KiB is kept as well.
is "$(nowait 65536)$(nowait 73728)" "" "where the old contents are kept"
grep 'Resource' <<<"$(nowait 81920)" >/dev/null || die "the next block"
is "$(copied)" $((before + 1)) "blocks copied"
bowio verify ${o}-s $work/o-s
# bowio knows nothing of what xfs_io has written.
bowio write -s 4096 -r 128+8 -g 4000 $o $work/o >/dev/null
bowio write -s 4096 -r 144+8 -g 4001 $o $work/o >/dev/null

step "a size for a store that is there already"
exits 16 blksnap take -n t --store $other/s --size 8M o
says 'leave --size away.*blksnap grow'
exits 2 blksnap take -n t --store /dev/mapper/"$(dmsetup ls --target blksnap-file | cut -f1)" --size 8M o
says '--size is for files'
is "$(stat -c %s $other/s)" $((4 << 20)) "the file"
exits 0 blksnap take -n t --store $other/s o

step "the device below an origin grows"
reload under "0 98304 linear $D_SMALL 0"
is "$(sectors $o)" 65536 "the origin"
dmsetup table o | sed 's/^0 65536/0 98304/' >$work/table
not dmsetup reload o <$work/table 2>/dev/null
exits 16 blksnap take -n u --store $other/s o
says "another size by now; 'blksnap detach o'"
nothing_suspended
is "$(dmsetup ls --target blksnap | wc -l)" 2 "images"
# What there is goes on.
bowio write -n 12 -s 4096:65536 -a 4096 -S 5 -g 5000 $o $work/o >/dev/null
intact
exits 0 blksnap remove s t
exits 16 blksnap take -n u --store $other/s --size 4M o
says 'another size'
[ ! -e $other/s ] || die "a file is left over"
exits 0 blksnap detach o
exits 0 blksnap attach --create o /dev/mapper/under
is "$(sectors $o)" 98304 "the origin, attached anew"
exits 0 blksnap take -n s --store $other/s --size 4M o
exits 0 blksnap remove s

step "killed while the store is made"
killed() { # SYSCALL
	expect 137 strace -qq -o /dev/null -e trace=$1 -e inject=$1:signal=KILL:when=1 \
		blksnap take -n s --store "$other/a" --size 4M o
	no_images
	nothing_suspended
	[ -e $other/a ] || die "nothing is left over"
}

quiet() {
	exits 0 blksnap list
	! grep 'left over' <<<"$out" || die "nothing is left over"
}

cleaned_up() {
	local st

	exits 16 blksnap take -n s --store $other/a --size 4M o
	says "$other/a is left over from a command that was killed: .*'rm $other/a'"
	exits 0 blksnap list
	says "left over"
	st=$(sed -n "s/.*'dmsetup remove \([^']*\)'.*/\1/p" <<<"$out")
	[ -z "$st" ] || dmsetup remove $st
	no_files
	until_true rm $other/a 2>/dev/null
	quiet
	exits 0 blksnap take -n s --store $other/a --size 4M o
	quiet
	exits 0 blksnap remove s
	[ ! -e $other/a ] || die "a file is left over"
}
killed fsync
cleaned_up
# Its device is there already.
killed clone
[ "$(dmsetup ls --target blksnap-file | wc -l)" = 1 ] || die "no device is left over"
cleaned_up
# One that fails, or is undone, says nothing.
exits 8 blksnap take -n s --store $other/a --size 4G o
quiet
exits 0 blksnap detach o
umount $other
dmsetup remove under
