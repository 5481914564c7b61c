#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 600
# shellcheck disable=SC2086,SC2154,SC2251
#
# Files as stores: on the snapshotted filesystem itself and on another one; what
# nobody may do to them meanwhile; and which files cannot be stores.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

reads_as_zeroes() { # DEVICE, extents on stdin
	local first length n=0

	while read -r first length; do
		cmp -n $length -i $first:0 $1 /dev/zero || die "$1: not zeroes at $first"
		n=$((n + 1))
	done
	[ $n -gt 0 ] || die "no extents"
}

# Of the tracked blocks that are the store's alone: how many are among those that have
# changed, and how many there are.
tracked() { # SINCE IMAGE
	blksnap changed --since $1 $2 >$work/changed
	[ -s $work/changed ] || die "$2 since $1: nothing has changed"
	awk -v size=65536 'FILENAME == ARGV[1] {
			for (at = $1; at < $1 + $2; at += size) changed[at / size] = 1
			next
		}
		{
			first = int(($1 + size - 1) / size)
			for (b = first; (b + 1) * size <= $1 + $2; b++) { all++; n += b in changed }
		}
		END { print n + 0, all + 0 }' $work/changed $work/extents
}

lost() { # IMAGE
	[ "$(dmsetup status $1 | cut -d' ' -f4)" = failed ]
}

# Everything that would move, free, share or change its blocks.
nobody_touches() { # FILE TYPE
	local f=$1 map

	map=$(extents_of "$f")
	not truncate -s 1M "$f" 2>/dev/null
	not truncate -s 1G "$f" 2>/dev/null
	not dd if=/dev/zero of="$f" bs=4k count=1 conv=notrunc status=none 2>/dev/null
	not fallocate -p -o 0 -l 64K "$f" 2>/dev/null
	not fallocate -c -o 0 -l 64K "$f" 2>/dev/null
	not fallocate -o 0 -l 1G "$f" 2>/dev/null
	not rm -f "$f" 2>/dev/null
	not mv "$f" "$f.moved" 2>/dev/null
	not cp --reflink=always "$f" "$f.shared" 2>/dev/null
	rm -f "$f.shared"
	not swapon "$f" 2>/dev/null
	not umount $mnt 2>/dev/null
	[ $2 != ext4 ] || e4defrag "$f" >/dev/null 2>&1 || :
	is "$(extents_of "$f")" "$map" "the extents"
}

on_its_own_filesystem() { # TYPE
	local file="$mnt/a store" before id all

	case $1 in
	ext4-1k) mke2fs -q -F -t ext4 -b 1024 /dev/mapper/o ;;
	*)	make_fs $1 /dev/mapper/o ;;
	esac
	mount /dev/mapper/o $mnt
	fill $mnt
	manifest $mnt >$work/manifest
	exits 0 blksnap take -n r --store $store o
	id=$(id_of o-r)
	exits 0 blksnap remove r
	exits 0 blksnap take --dry-run -n s --store "$file" --size 48M o
	[ ! -e "$file" ] || die "a dry run made a file"
	exits 0 blksnap take -n s --store "$file" --size 48M o
	is "$(stat -c '%a %s' "$file")" "600 50331648" "the file"
	extents_of "$file" >$work/extents
	nobody_touches "$file" ${1%-1k}
	churn $mnt
	reads_as_zeroes /dev/mapper/o-s <$work/extents
	[ "$(dmsetup status o-s | cut -d' ' -f7)" -gt 0 ] || die "nothing was kept"
	shows_manifest o-s ${1%-1k}
	# What is written into the store is no change of the origin; that the file has become
	# one is, and that it ceases to be one, see below.
	exits 0 blksnap take -n t --store "$file" o
	all=$(tracked $id o-s)
	[ ${all#* } -gt 512 ] || die "the store's blocks: $all"
	is ${all% *} ${all#* } "blocks that became the store's"
	is "$(tracked "$(id_of o-s)" o-t)" "0 ${all#* }" "blocks of the store, written to"
	# Not one block of the origin is kept for what is written into the store.
	fsfreeze -f $mnt
	before=$(dmsetup status o | cut -d' ' -f7)
	dd if=/dev/urandom of=/dev/mapper/o-s bs=64k count=9 seek=40 oflag=direct status=none
	is "$(dmsetup status o | cut -d' ' -f7)" "$before" "blocks copied"
	fsfreeze -u $mnt
	id=$(id_of o-t)
	exits 0 blksnap remove s t
	[ ! -e "$file" ] || die "the file is left over"
	no_files
	exits 0 blksnap take -n u --store $store o
	is "$(tracked $id o-u)" "${all#* } ${all#* }" "blocks that were the store's"
	exits 0 blksnap remove u
	umount $mnt
	check_fs ${1%-1k} /dev/mapper/o
	step "$1: $(wc -l <$work/extents) extents"
}

dmsetup create under --table "0 655360 linear $D1 0"
exits 0 blksnap attach --create o /dev/mapper/under
# ext4 with larger blocks is what all below lies on. To save time one kernel tries xfs
# and the other f2fs, which pins in its own way.
types=xfs
[ "$VM_KERNEL" != 6.1 ] || types=f2fs
! long || types='ext4-1k xfs f2fs'
for fs in $types; do
	on_its_own_filesystem $fs
done

step "growing into what an older snapshot still needs"
make_fs ext4 /dev/mapper/o
mount /dev/mapper/o $mnt
fill $mnt
head -c 60M /dev/urandom >$mnt/big/gone
sync -f $mnt
manifest $mnt >$work/manifest
# Too small for what the second one would need...
exits 0 blksnap take -n 1 --store $mnt/one --size 16M o
rm $mnt/big/gone
sync -f $mnt
exits 8 blksnap take -n 2 --store $mnt/two --size 200M o
says 'No space left'
[ ! -e $mnt/two ] || die "a file is left over"
is "$(dmsetup status o-1 | cut -d' ' -f4)" active "the first, after that"
is "$(dmsetup ls --target blksnap-file | wc -l)" 1 "stores, after that"
shows_manifest o-1
exits 0 blksnap remove 1
rm -f $mnt/one

# ...and large enough: it lies in the deleted file's place, and is written to. There
# is hardly any other space.
head -c 60M /dev/urandom >$mnt/big/gone
fallocate -l 85M $mnt/big/filler
sync -f $mnt
extents_of $mnt/big/gone >$work/extents.gone
manifest $mnt >$work/manifest
exits 0 blksnap take -n 1 --store $mnt/one --size 120M o
nobody_touches $mnt/one ext4
rm $mnt/big/gone
sync -f $mnt
exits 0 blksnap take -n 2 --store $mnt/two --size 60M o
# The same file twice: one store.
exits 0 blksnap take -n 3 --store $mnt/two o
is "$(dmsetup ls --target blksnap-file | wc -l)" 2 "stores"
extents_of $mnt/two >$work/extents
overlap $work/extents $work/extents.gone || die "the store is not in the deleted file's place"
reads_as_zeroes /dev/mapper/o-2 <$work/extents
dd if=/dev/urandom of=/dev/mapper/o-2 bs=1M count=54 oflag=direct status=none
churn $mnt
shows_manifest o-1
reads_as_zeroes /dev/mapper/o-3 <$work/extents
exits 0 blksnap remove 2
[ -e $mnt/two ] || die "the file went though a snapshot needs it"
# The older one looks into what was kept for the younger ones.
exits 0 blksnap remove 3
[ -e $mnt/two ] || die "the file went though an older snapshot needs it"
churn $mnt 3
shows_manifest o-1
exits 0 blksnap remove 1
[ ! -e $mnt/one ] || die "$mnt/one is left over"
[ ! -e $mnt/two ] || die "$mnt/two is left over"
no_files

step "a file by another name, a name with another file"
mkdir $mnt/dir
exits 0 blksnap take -n 1 --store $mnt/dir/store --size 16M o
mv $mnt/dir $mnt/moved
exits 0 blksnap take -n 2 --store $mnt/moved/store o
is "$(dmsetup ls --target blksnap-file | wc -l)" 1 "stores"
table=$(dmsetup table "$(dmsetup ls --target blksnap-file | cut -f1)")
not dmsetup create twice --table "$table" 2>/dev/null
dmsetup remove twice 2>/dev/null || :
exits 0 blksnap take -n 3 --store "/dev/mapper/$(dmsetup ls --target blksnap-file | cut -f1)" o
mkdir $mnt/dir
echo precious >$mnt/dir/store
exits 16 blksnap detach o
exits 8 blksnap remove 1 2 3
says 'another name'
is "$(cat $mnt/dir/store)" precious "somebody else's file"
no_files
rm -r $mnt/dir $mnt/moved

step "what cannot be a store"
refused() { # WHY FILE [OPTION...]
	local why=$1 file=$2

	shift 2
	exits 16 blksnap take -n no --store "$file" "$@" o
	says "$why"
}
exits 8 blksnap take -n no --store $mnt/nothing o
says '--size'
exits 2 blksnap take -n no --store $mnt/tree --size 1M o
chmod 600 $mnt/tree/a/xaaa
exits 16 blksnap take -n no --store $mnt/tree/a/xaaa o
says 'has contents'
truncate -s 4M $mnt/holes
chmod 600 $mnt/holes
refused holes $mnt/holes
fallocate -l 4M $mnt/mine
refused 'there already' $mnt/mine --size 4M
refused 'others than root' $mnt/mine
chmod 600 $mnt/mine
exits 8 blksnap take -n no --store $mnt/huge --size 4G o
[ ! -e $mnt/huge ] || die "half a file is left over"
exec 7>>$mnt/mine
exits 8 blksnap take -n no --store $mnt/mine o
says 'open for writing'
exec 7>&-
ln -s mine $mnt/link
exits 8 blksnap take -n no --store $mnt/link o
no_files
no_images
# One that was there before is not ours to remove.
exits 0 blksnap take -n s --store $mnt/mine o
exits 0 blksnap remove s
is "$(stat -c %s $mnt/mine)" 4194304 "the file"
rm $mnt/mine

step "on another filesystem, mounted as it is"
# UML knows no partitions. Another one of that disk is an origin, with a store that is none.
part=$D2
if [[ $VM_KERNEL == 6.* ]]; then
	printf '%s\n' 'label: dos' '4096,16384' '1048576,409600' | sfdisk -q $D2
	at_exit "partx -d $D2 2>/dev/null"
	part=${D2}2
	until_true test -b $part
	exits 0 blksnap attach --create p ${D2}1
	bowio fill /dev/mapper/p $work/p
	# The disk as a whole is not to be had.
	not blksnap take -n p --force --store $D2 p 2>/dev/null
	exits 0 blksnap take -n p --store $D3 p
	cp $work/p $work/p-p
fi
make_fs ext4 $part
mkdir $work/other
mount $part $work/other
exits 0 blksnap take -n s --store $work/other/store --size 64M o
not umount $work/other 2>/dev/null
manifest $mnt >$work/manifest
exits 0 blksnap take -n t --store $work/other/store o
churn $mnt 2
shows_manifest o-t
exits 0 blksnap remove s t
[ ! -e $work/other/store ] || die "the file is left over"
umount $work/other
check_fs ext4 $part
if [ $part != $D2 ]; then
	bowio write -q -n 20 -s 512:16384 -a 512 -g 100 /dev/mapper/p $work/p >/dev/null
	bowio verify /dev/mapper/p $work/p
	bowio verify /dev/mapper/p-p $work/p-p
	[ "$(dmsetup status p-p | cut -d' ' -f7)" -gt 0 ] || die "nothing was kept"
	exits 0 blksnap remove p
	exits 0 blksnap detach p
	bowio verify ${D2}1 $work/p
fi

step "a device cannot become an origin under its store's file"
dmsetup create lv --table "0 163840 linear $D1 655360"
make_fs ext4 /dev/mapper/lv
mount /dev/mapper/lv $work/other
exits 0 blksnap take -n s --store $work/other/store --size 32M o
exits 8 blksnap attach lv
nothing_suspended
exits 0 blksnap remove s
exits 0 blksnap attach lv
exits 0 blksnap take -n s --store $work/other/store --size 32M o lv
exits 0 blksnap remove s

step "an origin that ceases to be one"
exits 0 blksnap take -n s --store $work/other/store --size 32M o
exits 16 blksnap detach lv
says 'is a store on lv'
lower=$(lower_of lv)
dmsetup reload lv --table "0 163840 linear $lower 0"
dmsetup suspend lv
dmsetup resume lv
# What is written there now is not the store's business any more.
churn $mnt 4
until_true lost o-s
dmsetup remove --retry o-s
dmsetup ls --target blksnap-file | cut -f1 | xargs -n 1 dmsetup remove --retry
until_true rm $work/other/store 2>/dev/null
umount $work/other
umount $mnt
check_fs ext4 /dev/mapper/o
