#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
# timeout: 600
# shellcheck disable=SC2015,SC2034,SC2086,SC2154,SC2251
#
# What may happen to a file while it is a store, beside what 420 tries: nothing moves
# or changes its blocks, and nobody sees in it what is kept there.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

long || skip "make check-long has it"

other=$work/other
mkdir $other
dmsetup create under --table "0 32768 linear $D_SMALL 0"
exits 0 blksnap attach --create o /dev/mapper/under
o=/dev/mapper/o round=0

# The origin has no filesystem: what it and the image should have is known by the sector.
begin() { # FILE [OPTION...]
	bowio fill $o $work/o
	exits 0 blksnap take -n s --block-size 16K --store "$@" o
	cp $work/o $work/o-s
	extents_of $1 >$work/extents
	[ -s $work/extents ] || die "no extents"
}

overwrite() {
	round=$((round + 1))
	bowio write -n 12 -s 4096:65536 -a 4096 -S $round -g $((round * 1000)) $o $work/o >/dev/null
}

intact() { # FILE
	overwrite
	sync -f $other
	echo 3 >/proc/sys/vm/drop_caches
	is "$(dmsetup status o-s | cut -d' ' -f4)" active "the image"
	bowio verify ${o}-s $work/o-s
	bowio verify $o $work/o
	extents_of $1 >$work/now
	diff $work/extents $work/now || die "the extents of $1 have changed"
}

zeroes() { # FILE
	echo 3 >/proc/sys/vm/drop_caches
	cmp -n "$(stat -c %s $1)" $1 /dev/zero || die "$1 shows what was kept in it"
}

end() { # TYPE
	until_true umount $other 2>/dev/null
	check_fs $1 $D2
}

has_it_open() { # PID FILE
	find /proc/$1/fd -lname $2 | grep . >/dev/null
}

# Somebody who has it open for writing, or mapped and closed again, and waits.
hold() { # FILE COMMAND
	mkfifo $work/fifo
	xfs_io $1 <$work/fifo >/dev/null 2>&1 &
	exec 7>$work/fifo
	echo "$2" >&7
	until_true has_it_open $! $1
}

let_go() {
	exec 7>&-
	wait
	rm $work/fifo
}

step "xfs: shared, deduplicated, defragmented"
mkfs.xfs -q -f -m reflink=1 $D2
mount $D2 $other
# In two pieces, so that there is something to be put together.
for f in 1 2; do
	fallocate -l 4M $other/piece$f
done
s=$other/s
fallocate -l 4M $s
fallocate -l 4M $other/piece3
fallocate -l 8M $s
chmod 600 $s
xfs_io -f -c 'pwrite -q -S 0 0 1m' -c fsync $other/zero
fallocate -l 8M $other/donor
begin $s
[ "$(wc -l <$work/extents)" -gt 1 ] || die "it is in one piece already"
overwrite
xfs_io -c "reflink $other/zero 0 0 65536" $s >/dev/null 2>&1 || :
xfs_io -c "reflink $s 0 0 65536" $other/zero >/dev/null 2>&1 || :
xfs_io -c "dedupe $other/zero 0 0 65536" $s >/dev/null 2>&1 || :
xfs_io -c "dedupe $s 0 0 65536" $other/zero >/dev/null 2>&1 || :
xfs_io -c "swapext $other/donor" $s >/dev/null 2>&1 || :
xfs_io -c "swapext $s" $other/donor >/dev/null 2>&1 || :
xfs_io -r -c "dedupe $other/zero 0 0 65536" $s >/dev/null 2>&1 || :
xfs_fsr -v $s >/dev/null 2>&1 || :
xfs_io -c "copy_range -s 0 -d 0 -l 65536 $other/zero" $s >/dev/null 2>&1 || :
not xfs_io -c 'finsert 0 64k' $s >/dev/null 2>&1
not xfs_io -c 'fzero 0 64k' $s >/dev/null 2>&1
not xfs_io -c 'fpunch 0 64k' $s >/dev/null 2>&1
not xfs_io -c 'funshare 0 64k' $s >/dev/null 2>&1
! filefrag -v $other/zero $s | grep -w shared || die "blocks are shared"
intact $s
fstrim $other
intact $s
mount -o remount,ro $other
intact $s
mount -o remount,rw $other
intact $s
zeroes $s
exits 0 blksnap remove s
zeroes $s
xfs_fsr $s >/dev/null 2>&1 || :
end xfs

step "ext4: e4defrag, quota, FITRIM, remounts, attributes"
mke2fs -q -F -t ext4 -O quota -E lazy_itable_init=0,lazy_journal_init=0 $D2
mount -o usrquota,grpquota $D2 $other
s=$other/s
fallocate -l 4M $s
fallocate -l 4M $other/piece
fallocate -l 8M $s
rm $other/piece
chmod 600 $s
begin $s
overwrite
e4defrag $s >/dev/null 2>&1 || :
for flag in j i a; do
	xfs_io -c "chattr +$flag" $s >/dev/null 2>&1 || :
done
ln $s $other/link
not rm $other/link 2>/dev/null
fstrim $other
intact $s
mount -o remount,ro $other
intact $s
mount -o remount,rw,noatime $other
intact $s
zeroes $s
exits 0 blksnap remove s
zeroes $s
end ext4
mount $D2 $other
zeroes $s
rm -f $other/link

step "ext4: unmounted lazily"
begin $other/new --size 8M
overwrite
umount -l $other
bowio verify ${o}-s $work/o-s
not mke2fs -q -F $D2 2>/dev/null
exits 8 blksnap remove s
says 'another name|left over'
until_true mount $D2 $other 2>/dev/null
zeroes $other/new
rm $other/new
end ext4

step "descriptors and mappings from before"
mount $D2 $other
hold $s 'stat'
exits 8 blksnap take -n no --store $s o
says 'open for writing'
let_go
hold $s 'mmap -w 0 64k'
until_true grep -qF $s /proc/$!/maps
echo close >&7
exits 8 blksnap take -n no --store $s o
says 'open for writing'
let_go
no_files
end ext4

step "ext4 with data=journal: what is on its way from there comes before"
mount -o data=journal $D2 $other
dd if=/dev/urandom of=$other/w bs=64k count=128 status=none
chmod 600 $other/w
exits 16 blksnap take -n no --store $other/w o
says 'has contents'
dd if=/dev/urandom of=$other/w bs=64k count=128 conv=notrunc status=none
begin $other/w --force
overwrite
fsfreeze -f $other
fsfreeze -u $other
intact $other/w
exits 0 blksnap remove s
begin $other/new --size 8M
overwrite
fsfreeze -f $other
fsfreeze -u $other
intact $other/new
zeroes $other/new
exits 0 blksnap remove s
end ext4

step "xfs: written to just before"
mkfs.xfs -q -f $D2
mount $D2 $other
dd if=/dev/urandom of=$other/w bs=64k count=128 status=none
chmod 600 $other/w
begin $other/w --force
overwrite
intact $other/w
exits 0 blksnap remove s
end xfs

step "f2fs: garbage collection"
mkfs.f2fs -q -f -t 0 $D2 >/dev/null
mount -o background_gc=off $D2 $other
for i in $(seq 40); do
	dd if=/dev/zero of=$other/f$i bs=64k count=16 status=none
done
begin $other/new --size 8M
overwrite
sync -f $other
rm $other/f?[13579] $other/f[13579]
sync -f $other
f2fs_io gc_urgent "$(basename $D2)" run 2 >/dev/null
f2fs_io defrag_file 0 2048 $other/new >/dev/null 2>&1 || :
intact $other/new
exits 0 blksnap remove s
end f2fs

exits 0 blksnap detach o
dmsetup remove under
