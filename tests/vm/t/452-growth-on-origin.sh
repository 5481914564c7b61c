#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12 uml debug kcsan
# timeout: 600
# shellcheck disable=SC2086,SC2154,SC2251
#
# A store that grows on the snapshotted filesystem itself: what lay in its new place
# when the snapshot was taken stays in the snapshot, by whatever way the place was got.

# shellcheck source=/dev/null
. /tests/t/4grow.inc

step "on the snapshotted filesystem: blocks that have become free are the snapshot's"
dmsetup create under --table "0 204800 linear $D1 0"
exits 0 blksnap attach --create o /dev/mapper/under
# With a large file, and 8 MiB free, once the store has been made.
prepare() { # MEGABYTES-OF-THE-STORE
	make_fs ext4 /dev/mapper/o
	mount /dev/mapper/o $mnt
	fill $mnt
	head -c 20M /dev/urandom >$mnt/big/gone
	fallocate -l $(($(stat -f -c '%f * %S' $mnt) - ($1 + 8 << 20))) $mnt/big/filler
	sync -f $mnt
	extents_of $mnt/big/gone >$work/extents.gone
	manifest $mnt >$work/manifest
	exits 0 blksnap take -n s --store $mnt/one --size $1M o
}

remove_gone() {
	rm $mnt/big/gone
	sync -f $mnt
}

# By private writes to another image.
use_all() {
	exits 0 blksnap take -n t --store $mnt/one o
	dd if=/dev/urandom of=/dev/mapper/o-t bs=1M count=$(($(left o-t) / 2048 - 3)) \
		oflag=direct status=none
	[ "$(left o-s)" -lt 8192 ] || die "not used up: $(dmsetup status o-s)"
}

finish() { # SNAPSHOT...
	shows_manifest o-s
	exits 0 blksnap remove "$@"
	is "$(ls $mnt)" "$(printf 'big\nlost+found\ntree')" "what is left"
	no_files
	umount $mnt
	check_fs ext4 /dev/mapper/o
}

# Too little room for what the snapshot needs there...
prepare 6
remove_gone
exits 8 blksnap grow --size 22M $mnt/one
says 'does not fit'
[ ! -e $mnt/one.1 ] || die "a file is left over"
is "$(info o-s 1) $(info o-s 3)" "active $((6 << 11))" "after that"
dmsetup suspend o
exits 16 blksnap grow --size 7M $mnt/one
says suspended
dmsetup resume o
finish s

# ...and room enough: it lies in the deleted file's place, and all of it is written to.
prepare 30
remove_gone
exits 0 blksnap grow --size 46M $mnt/one
extents_of $mnt/one.1 >$work/extents
overlap $work/extents $work/extents.gone || die "the file is not in the deleted file's place"
shows_manifest o-s
use_all
finish s t

# Reserved when the snapshot was taken: nothing in its place is needed.
prepare 46
remove_gone
n=$(info o 4)
use_all
[ $(($(info o 4) - n)) -lt 160 ] || die "copies were made: $(dmsetup status o)"
finish s t
