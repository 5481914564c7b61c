#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 900
# shellcheck disable=SC2015,SC2086,SC2154,SC2251
#
# A persistent snapshot in a file on the origin's own filesystem: after a crash it is
# rolled back to while that is not mounted, found by its sector and by its path.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

low=/dev/mapper/low f="$mnt/a store" crashes=0
mkdir $work/cut

# An origin on $low, with a filesystem on $mnt.
begin() { # MEGABYTES [TYPE]
	size=$(($1 << 11))
	dmsetup create low --table "0 $size linear $D1 1310720"
	exits 0 blksnap attach --create o $low
	make_tree /dev/mapper/o ${2-}
	manifest $mnt >$work/manifest
}

# The disk as a power cut leaves it at this moment: $cut.
crash() {
	crashes=$((crashes + 1))
	cut=/dev/mapper/cut$crashes
	dmsetup suspend --noflush --nolockfs low
	dd if=$D1 of=$D3 bs=1M skip=640 seek=$((100 * crashes)) count=$((size >> 11)) \
		iflag=direct oflag=direct status=none
	dmsetup resume low
	dmsetup create cut$crashes --table "0 $size linear $D3 $((100 * crashes << 11))"
}

# But for the store's own blocks, which are zeroes in the image.
rolled_back() { # DEVICE [TYPE]
	local first length

	while read -r first length; do
		dd if=/dev/zero of=$1 bs=4096 seek=$((first / 4096)) count=$((length / 4096)) \
			conv=notrunc oflag=direct status=none
	done <$work/extents
	dd if=$1 bs=1M iflag=direct status=none | cmp - $work/want || die "$1 is not what was there"
	check_fs ${2:-ext4} $1
	mount -o ro $1 $work/cut
	manifest $work/cut | grep -v ' ./a store$' >$work/now
	diff $work/manifest $work/now || die "$1 has other files"
	cmp -n "$(stat -c %s "$work/cut/a store")" "$work/cut/a store" /dev/zero
	umount $work/cut
}

begin 32

step "what does not fit"
exits 16 blksnap take --persistent -n no --block-size 1M --store "$f" --size 8256K o
says 'leave --block-size away'
[ ! -e "$f" ] || die "a file is left over"
fallocate -l 8256K $mnt/raw
chmod 600 $mnt/raw
lower=$(lower_of o)
dmsetup create st --table "0 16384 blksnap-file $lower $mnt/raw"
for bad in "/dev/mapper/st persistent 1048576" "$D_SMALL persistent 4096"; do
	not dmsetup create i --table "0 $size blksnap $lower $bad" 2>/dev/null
	! dm_exists i || dmsetup remove i
done
dmsetup remove --retry st
until_true rm $mnt/raw 2>/dev/null

step "taken"
exits 0 blksnap take --persistent --dry-run -n one --store "$f" --size 8256K o
exits 0 blksnap take --persistent --json -n one --store "$f" --size 8256K o
at=$(grep -o '"store_sector":[0-9]*' <<<"${out//[[:space:]]/}" | cut -d: -f2)
extents_of "$f" >$work/extents
is "$at" "$(($(awk 'NR == 1 { print $1 }' $work/extents) / 512))" "where it begins"
dd if=/dev/mapper/o-one of=$work/want bs=1M iflag=direct status=none
change $mnt
dd if=/dev/mapper/o-one bs=1M iflag=direct status=none | cmp - $work/want
not umount $mnt 2>/dev/null
exits 16 blksnap grow --size 32M "$f"
says 'one file'
exits 16 blksnap restore --sector $at $low
exits 16 blksnap check --inside --store "/a store" $low
# By hand: what is in the new file's place would be in the log.
fallocate -l 1M $mnt/more
chmod 600 $mnt/more
name=$(dmsetup ls --target blksnap-file | cut -f1)
table=$(dmsetup table $name)
end=$(cut -d' ' -f2 <<<"$table")
not dmsetup reload $name --table "$table
$end 2048 blksnap-file $lower $mnt/more" 2>/dev/null
rm $mnt/more
dd if=/dev/mapper/o-one bs=1M iflag=direct status=none | cmp - $work/want

step "after a crash"
crash
exits 1 blksnap check --sector $at $cut
says 'good snapshot'
exits 1 blksnap check --inside --store "/a store" $cut
exits 16 blksnap check --sector $((at + 8)) $cut
exits 1 blksnap restore --dry-run --inside --store "a store" $cut
exits 8 blksnap restore --stop-after 7 --sector $at $cut
exits 1 blksnap restore --sector $at $cut
says 'interrupted restore was finished'
exits 0 blksnap check --sector $at $cut
rolled_back $cut

step "after another crash, later"
change $mnt
crash
exits 1 blksnap restore --inside --store "/a store" $cut
rolled_back $cut

step "mounted after a crash: nobody guarded it"
crash
exits 0 blksnap attach --create c $cut
mount /dev/mapper/c $work/cut
exits 16 blksnap resume -n no --store "$work/cut/a store" c
says 'is mounted'
umount $work/cut
dmsetup remove --retry c

step "removed for good"
exits 0 blksnap remove one
[ ! -e "$f" ] || die "the file is left over"
umount $mnt
check_fs ext4 /dev/mapper/o
exits 0 blksnap detach o
dmsetup remove low

# Filesystems whose directories the tool cannot read: all that is known is the number
# that it has told.
by_sector() { # TYPE MEGABYTES
	begin $2 $1
	exits 0 blksnap take --persistent -n one --store "$f" --size 8M o
	at=$(sed -n 's/^to roll back, unmounted: blksnap restore --sector \([0-9]*\) .*/\1/p' <<<"$out")
	extents_of "$f" >$work/extents
	is "$at" "$(($(awk 'NR == 1 { print $1 }' $work/extents) / 512))" "where it begins"
	dd if=/dev/mapper/o-one of=$work/want bs=1M iflag=direct status=none
	change $mnt
	crash
	exits 0 blksnap remove one
	umount $mnt
	check_fs $1 /dev/mapper/o
	exits 0 blksnap detach o
	dmsetup remove low
	# That of before the crash has what came after the take, this one has not.
	not cmp -s $cut $work/want
	exits 16 blksnap restore --inside --store "/a store" $cut
	exits 16 blksnap restore --sector $((at + 8)) $cut
	exits 1 blksnap check --sector $at $cut
	exits 1 blksnap restore --sector $at $cut
	exits 0 blksnap check --sector $at $cut
	rolled_back $cut $1
	step "$1: $(wc -l <$work/extents) extents"
}

step "by the sector alone"
# One kernel tries xfs and the other f2fs, to save time.
[ "$VM_KERNEL" = 6.1 ] && ! long || by_sector xfs 32
[ "$VM_KERNEL" != 6.1 ] && ! long || by_sector f2fs 64
