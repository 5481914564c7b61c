#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# As 340, of the targets of blksnap: every allocation and every request fails, of the
# constructors, of taking a snapshot, writing to an origin or to an image, removing; of a
# persistent one too, and of going on with it; of writing with a tracking device, and what
# that means later. A write to the origin does not fail for it, be it the store or the
# tracking device that fails or memory; an image shows what it should or nothing.
# kernels: uml debug
# timeout: 1200
# boot: --allow Call.Trace:

# shellcheck disable=SC2046,SC2086,SC2154
# shellcheck source=tests/vm/block.sh
. /tests/block.sh
# shellcheck source=tests/vm/faults.inc
. /tests/faults.inc

modprobe dm-blksnap
faults_of cow blksnap
dmsetup create raw --table "0 8192 linear $D_SMALL 0"
dmsetup create store --table "0 65536 linear $D1 0"
dmsetup create track --table "0 64 linear $D1 65536"
raw=/dev/mapper/raw store=/dev/mapper/store track=/dev/mapper/track
bowio fill $raw $W/old

# --- an origin, and an image ---------------------------------------------------------

new_origin() {
	dmsetup create origin --table "0 8192 blksnap-origin $raw"
}

dmsetup create origin --notable
# Each client of kcopyd has pages in reserve, but need not have 128 of them here.
echo 8 >/sys/module/dm_mod/parameters/kcopyd_subjob_size_kb
# What the core asks for is 340's, one by one; here all of it fails at once.
not_below $(text_of cow)
one_by_one "an origin" origin blksnap-origin $raw
one_by_one "an origin with a tracking device" origin blksnap-origin "$raw 2 tracking $track"
faults_of cow blksnap
below $(address cow_dev_init)
without_memory dmsetup reload origin --table "0 8192 blksnap-origin $raw"
below $(address cow_range_pool_fill)
set_all times 1000000 $memory
set_all probability 100 $memory
ok "an origin without a reserve" dmsetup reload origin --table "0 8192 blksnap-origin $raw"
quiet
faults_of cow blksnap
dmsetup remove origin
new_origin
dmsetup create image --notable
one_by_one "an image" image blksnap "$raw $store transient 4096"
one_by_one "a persistent image" image blksnap "$raw $store persistent 4096"

# --- one that is there already, and what it is asked for ---------------------------------

dmsetup reload image --table "0 8192 blksnap $raw $store persistent 4096"
dmsetup suspend origin
dmsetup resume image
dmsetup resume origin
dmsetup create map --notable
generation=$(dmsetup status origin | cut -d' ' -f13)
one_by_one "a map" map blksnap-map "$raw $generation 1" 8
dmsetup remove map
dmsetup remove image
dmsetup remove origin
# As after a reboot: the log is in the store.
new_origin
dmsetup create image --notable
one_by_one "a persistent image to go on with" image blksnap "$raw $store persistent 4096 1 resume"
dmsetup remove image
dmsetup remove origin
ok "the log is good" expect 1 blksnap restore --quiet --store $store $raw
same "nothing has happened" verify $raw $W/old

# --- files -----------------------------------------------------------------------------

dmsetup create disk --table "0 131072 linear $D1 131072"
disk=/dev/mapper/disk mnt=$W/mnt
mkdir $mnt
at_exit "umount $mnt 2>/dev/null"
mke2fs -q -F -t ext4 -b 4096 $disk

# Of a few extents, with what lies between them.
make_file() {
	local i

	for i in 0 1 2 3; do
		fallocate -o $((i << 20)) -l 1M $mnt/store
		dd if=/dev/urandom of=$mnt/between bs=64k count=1 oflag=append conv=notrunc,fsync status=none
	done
	chmod 600 $mnt/store
	sum=$(cksum <$mnt/between)
	sync -f $mnt
}

not_pinned() {
	is "$(cksum <$mnt/between)" "$sum" "what was written"
	wait_for 10 rm $mnt/store 2>/dev/null
	umount $mnt
	e2fsck -fn $disk >$W/out 2>&1 || die "$(cat $W/out)"
}

mount $disk $mnt
make_file
dmsetup create file --notable
one_by_one "a file" file blksnap-file "$disk $mnt/store"
not_pinned

# On an origin, with a snapshot that needs what is there.
dmsetup create origin --table "0 131072 blksnap-origin $disk"
mount /dev/mapper/origin $mnt
make_file
one_by_one "a file on an origin" file blksnap-file "$disk $mnt/store"
dmsetup reload file --table "0 8192 blksnap-file $disk $mnt/store"
dmsetup resume file
dmsetup create image --notable
for mode in transient persistent; do
	one_by_one "$mode, in a file on the origin" image blksnap \
		"$disk /dev/mapper/file $mode 4096" 131072
done
dmsetup remove image
dmsetup remove file
not_pinned
dmsetup remove origin
dmsetup remove disk

# --- all the rest ------------------------------------------------------------------------

operations blksnap $raw $store $track
grep -q ' [1-9][0-9]* images lost' $W/out || die "no image was ever lost"
grep -q ' [1-9][0-9]* times nothing was known$' $W/out || die "tracking was never lost"
dmsetup remove raw
dmsetup remove store
dmsetup remove track
