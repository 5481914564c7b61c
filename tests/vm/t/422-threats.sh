#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# timeout: 600
# shellcheck disable=SC2015,SC2034,SC2086,SC2154,SC2251
#
# What may happen to a file while it is a store, beside what 420 tries: nothing moves
# or changes its blocks, and nobody sees in it what is kept there. What takes long, or is
# less likely to be done, is left to make check-long.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

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

xfs_threats() {
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
	if long; then
		mount -o remount,ro $other
		intact $s
		mount -o remount,rw $other
		intact $s
	fi
	zeroes $s
	exits 0 blksnap remove s
	zeroes $s
	from_before
	xfs_fsr $s >/dev/null 2>&1 || :
	end xfs
}

# Who has it open for writing, or could write to it through memory: it is not pinned.
from_before() {
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
}

more_than() { # NUMBER COMMAND...
	[ "$("${@:2}")" -gt $1 ]
}

ext4_threats() {
	local discards

	step "ext4: e4defrag, quota, FITRIM, mounted with discard, remounts, attributes"
	mke2fs -q -F -t ext4 -O quota -E lazy_itable_init=0,lazy_journal_init=0 $D2
	mount -o usrquota,grpquota,discard $D2 $other
	s=$other/s
	fallocate -l 4M $s
	fallocate -l 4M $other/piece
	fallocate -l 8M $s
	rm $other/piece
	dd if=/dev/zero of=$other/other bs=64k count=64 conv=fsync status=none
	chmod 600 $s
	begin $s
	overwrite
	# Its blocks are discarded with the next commit, those of its neighbour are not.
	discards=$(blk_stat $D2 discards)
	rm $other/other
	sync -f $other
	until_true more_than $discards blk_stat $D2 discards
	e4defrag $s >/dev/null 2>&1 || :
	for flag in j i a; do
		xfs_io -c "chattr +$flag" $s >/dev/null 2>&1 || :
	done
	ln $s $other/link
	not rm $other/link 2>/dev/null
	fstrim $other
	intact $s
	if long; then
		mount -o remount,ro $other
		intact $s
		mount -o remount,rw,noatime $other
		intact $s
	fi
	zeroes $s
	exits 0 blksnap remove s
	zeroes $s
	end ext4
	mount $D2 $other
	zeroes $s
	rm -f $other/link
	end ext4
}

unmounted_lazily() {
	step "ext4: unmounted lazily"
	mount $D2 $other
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
}

written_before() {
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
}

f2fs_threats() {
	local half

	step "f2fs: garbage collection, made smaller"
	mkfs.f2fs -q -f -t 0 $D2 >/dev/null
	mount -o background_gc=off $D2 $other
	for i in $(seq 40); do
		dd if=/dev/zero of=$other/f$i bs=64k count=16 status=none
	done
	# Pinned files begin at the lowest place: this one makes the store come to lie high up.
	: >$other/filler
	f2fs_io pinfile set $other/filler >/dev/null
	fallocate -l 600M $other/filler
	begin $other/new --size 8M
	rm $other/filler
	overwrite
	sync -f $other
	rm $other/f?[13579] $other/f[13579]
	sync -f $other
	f2fs_io gc_urgent "$(basename $D2)" run 2 >/dev/null
	f2fs_io defrag_file 0 2048 $other/new >/dev/null 2>&1 || :
	intact $other/new
	# Half the size would cut it off. When it is gone, nothing is against that, but that 6.1
	# wants to see fsck once it has failed.
	half=$(($(sectors $D2) / 16))
	awk -v half=$((half * 4096)) '$1 < half { exit 1 }' $work/extents ||
		die "it does not lie in the second half: $(cat $work/extents)"
	not f2resize $other $half 2>/dev/null
	intact $other/new
	exits 0 blksnap remove s
	[ "$VM_KERNEL" = 6.1 ] || until_true f2resize $other $half 2>/dev/null
	end f2fs
}

# Whatever it may be made smaller by: the file stays where it is, and so does the end of
# the filesystem behind it.
ends_behind() { # FILE FILESYSTEM-BLOCKS
	awk -v end=$(($2 * 4096)) '$1 + $2 > end { exit 1 }' $work/extents ||
		die "$1 lies behind the end"
}

xfs_blocks() {
	xfs_growfs -n $other | sed -n 's/^data .*blocks=\([0-9]*\),.*/\1/p'
}

# All other space is taken, so the file lies in what is added at the end: to take that
# away again would cut it off.
xfs_shrink() {
	local blocks n at=0 refused=0

	step "xfs: made smaller"
	dmsetup create small --table "0 655360 linear $D2 0"
	mkfs.xfs -q -f /dev/mapper/small
	mount /dev/mapper/small $other
	n=65536
	while [ $n -gt 0 ]; do
		fallocate -l ${n}K -o ${at}K $other/all 2>/dev/null && at=$((at + n)) ||
			n=$((n / 2))
	done
	blocks=$(xfs_blocks)
	dmsetup reload small --table "0 688128 linear $D2 0"
	dmsetup suspend small
	dmsetup resume small
	xfs_growfs $other >/dev/null
	begin $other/s --size 8M
	overwrite
	for n in 64 2048 4096; do
		xfs_growfs -D $((blocks + 4096 - n)) $other >/dev/null 2>&1 ||
			refused=$((refused + 1))
		intact $other/s
		ends_behind $other/s "$(xfs_blocks)"
	done
	[ $refused -gt 0 ] || die "it was made as small as it had been"
	exits 0 blksnap remove s
	until_true umount $other 2>/dev/null
	check_fs xfs /dev/mapper/small
	dmsetup remove small
}

xfs_threats
f2fs_threats
xfs_shrink
ext4_threats
if long; then
	unmounted_lazily
	written_before
fi

exits 0 blksnap detach o
dmsetup remove under
