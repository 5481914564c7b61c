#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
# timeout: 600
# shellcheck disable=SC2015,SC2086,SC2154,SC2251
#
# Files that cannot be stores: each is refused with the reason, and nothing of it is
# left, neither a device nor a file nor a pin. 420 has those that any user will meet.
# And tables that say of a file what is not so.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

other=$work/other
mkdir $other
dmsetup create under --table "0 16384 linear $D_SMALL 0"
exits 0 blksnap attach --create o /dev/mapper/under

none_left() {
	no_files
	no_images
	nothing_suspended
}

refused() { # STATUS WHY FILE [OPTION...]
	local status=$1 why=$2 file=$3 there=

	shift 3
	[ ! -e "$file" ] || there=$(stat -c '%i %s %a %b' "$file")
	exits $status blksnap take -n no --store "$file" "$@" o
	says "$why"
	if [ -n "$there" ]; then
		is "$(stat -c '%i %s %a %b' "$file")" "$there" "$file"
	else
		[ ! -e "$file" ] || die "$file is left over"
	fi
	none_left
}

mine() { # FILE: as a store should be
	fallocate -l 1M "$1"
	chmod 600 "$1"
}

# With files a and b, which share their blocks.
sharing_xfs() {
	mkfs.xfs -q -f -m reflink=1 $D2
	mount $D2 $other
	xfs_io -f -c "pwrite -q 0 1m" -c fsync $other/a
	chmod 600 $other/a
	cp --reflink=always $other/a $other/b
}

# A pin would keep it mounted. The kernel lets go a little after it has refused.
end() {
	until_true umount $other 2>/dev/null
}

mkdir $work/tmpfs
mount -t tmpfs none $work/tmpfs

step "what tables may say of a file"
sharing_xfs
mine $other/c
exits 0 blksnap take -n s --store $other/c o
table=$(dmsetup table "$(dmsetup ls --target blksnap-file | cut -f1)")
exits 0 blksnap remove s
read -r _ sectors _ dev path _ _ extents crc <<<"$table"
bad_table() { # COMPLAINT TABLE
	local mark

	mark=$(($(dmesg | wc -l) + 1))
	not dmsetup create bad --table "$2" 2>/dev/null
	dmesg | tail -n +$mark | grep "$1" >/dev/null || die "no '$1' for: $2"
	! dm_exists bad || die "there is a device for: $2"
}

good="0 $sectors blksnap-file $dev $path"
bad_table "not those of the table" "$good 3 extents $((extents + 1)) $crc"
bad_table "not those of the table" "$good 3 extents $((extents - 1)) $crc"
bad_table "not those of the table" "$good 3 extents $extents $(printf %x $((0x$crc ^ 1)))"
bad_table "The file is shorter" "0 $((sectors + 8)) blksnap-file $dev $path"
bad_table "neither on the device nor" "0 $sectors blksnap-file $D1 $path"
bad_table "Optional: 3 extents" "$good 3 extents $extents"
bad_table "Optional: 3 extents" "$good 3 extents x $crc"
bad_table "Optional: 3 extents" "$good 2 extents $extents $crc"
bad_table "from / on" "0 $sectors blksnap-file $dev c"
bad_table "from / on" "0 $sectors blksnap-file $dev $path\\007"
bad_table "Cannot open" "0 $sectors blksnap-file $dev $other/no"
bad_table "cannot be pinned" "0 $sectors blksnap-file $dev $other"
bad_table "cannot be pinned" "0 $sectors blksnap-file $dev $other/a"
bad_table "cannot be pinned" "0 $sectors blksnap-file $dev $work/tmpfs"
ln -s c $other/link
bad_table "Cannot open" "0 $sectors blksnap-file $dev $other/link"
# It is elsewhere by now.
mv $other/c $other/d
mine $other/c
bad_table "not those of the table" "$good 3 extents $extents $crc"
bad_table "No such device" "0 $sectors blksnap-file /dev/no $path"

step "xfs: shared blocks, an active swap file"
refused 16 'shares blocks' $other/a
refused 16 'shares blocks' $other/b --force
dd if=/dev/zero of=$other/swap bs=1M count=2 status=none
chmod 600 $other/swap
mkswap $other/swap >/dev/null
swapon $other/swap
refused 16 'has contents' $other/swap
refused 8 'open for writing, or swaps to it' $other/swap --force
swapoff $other/swap
end

step "btrfs: even a file that could be swapped to"
make_fs btrfs $D2
mount -o nodatacow $D2 $other
mine $other/f
refused 16 'ext4, xfs or f2fs' $other/f
bad_table "cannot be pinned" "0 2048 blksnap-file $D2 $other/f"
end

step "ext4: within the inode, and encrypted"
mke2fs -q -F -t ext4 -O inline_data,encrypt -I 256 -E lazy_itable_init=0,lazy_journal_init=0 $D2
mount $D2 $other
echo hello >$other/inline
chmod 600 $other/inline
refused 16 'not a single page' $other/inline
# What it has is in the inode, what comes behind it is nowhere.
truncate -s 64K $other/inline
refused 16 'holes|metadata' $other/inline --force
mkdir $other/secret
key=$(head -c 64 /dev/zero | tr '\0' k | xfs_io -c add_enckey $other | sed -n 's/.*identifier //p')
xfs_io -c "set_encpolicy -v 2 $key" $other/secret
mine $other/secret/f
refused 16 'is encrypted' $other/secret/f
refused 16 'is encrypted' $other/secret/f --force
refused 16 'is encrypted' $other/secret/new --size 1M
bad_table "cannot be pinned" "0 2048 blksnap-file $D2 $other/secret/f"
end

attributes() {
	step "xfs: attributes"
	sharing_xfs
	mine $other/c
	chown 1 $other/c
	refused 16 'others than root' $other/c
	chown 0 $other/c
	: >$other/empty
	chmod 600 $other/empty
	refused 16 'not a single page' $other/empty
	mkdir $other/dir
	xfs_io -c 'chattr +i' $other/dir
	refused 8 'cannot create it' $other/dir/new --size 1M
	xfs_io -r -c 'chattr -i' $other/dir
	# What keeps everybody else off it does no harm.
	for flag in i a; do
		xfs_io -r -c "chattr +$flag" $other/c
		exits 0 blksnap take -n s --store $other/c o
		exits 0 blksnap remove s
		until_true xfs_io -r -c "chattr -$flag" $other/c 2>/dev/null
	done
	end
}

no_place() {
	step "filesystems that are not on one device, or do not tell"
	make_fs ext4 $D2
	mount $D2 $other
	mkdir $other/l $other/u $other/w $other/m
	mine $other/l/f
	mount -t overlay none -o lowerdir=$other/l,upperdir=$other/u,workdir=$other/w $other/m
	mine $work/tmpfs/f
	for dir in $other/m $work/tmpfs; do
		refused 16 'ext4, xfs or f2fs' $dir/f
		refused 16 'ext4, xfs or f2fs' $dir/new --size 1M
	done
	umount $other/m
	end
	make_fs vfat $D2
	mount $D2 $other
	refused 16 'ext4, xfs or f2fs' $other/new --size 1M
	end
}

realtime() {
	step "xfs: the realtime device"
	mkfs.xfs -q -f -m reflink=0,rmapbt=0 -r rtdev=$D3 $D2
	mount -o rtdev=$D3 $D2 $other
	xfs_io -f -c 'chattr +r' $other/r
	mine $other/r
	refused 16 'realtime device' $other/r
	xfs_io -c 'chattr +t' $other
	refused 16 'realtime device' $other/new --size 1M
	end
}

f2fs() {
	step "f2fs: compressed, and on a second device"
	mkfs.f2fs -q -f -t 0 -O extra_attr,compression $D2 >/dev/null
	mount -o compress_algorithm=lz4,compress_extension=z $D2 $other
	dd if=/dev/zero of=$other/a.z bs=64k count=16 conv=fsync status=none
	chmod 600 $other/a.z
	refused 16 'is compressed' $other/a.z
	refused 16 'is compressed' $other/a.z --force
	mine $other/b.z
	refused 16 'is compressed' $other/b.z --force
	bad_table "cannot be pinned" "0 2048 blksnap-file $D2 $other/a.z"
	# One of our own is told not to be.
	exits 0 blksnap take -n s --store $other/c.z --size 4M o
	exits 0 blksnap remove s
	end
	mkfs.f2fs -q -f -t 0 -c $D3 $D_ODD >/dev/null
	mount $D_ODD $other
	refused 16 'first device' $other/new --size 100M
	end
}

# make check-long has the rest.
if long; then
	attributes
	realtime
	f2fs
	no_place
fi

umount $work/tmpfs
exits 0 blksnap detach o
dmsetup remove under
