#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# Checkpoint, commit and the change to a linear table while fio writes as fast as
# it can through ext4, and fio finds what it wrote.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

carve raw 96M
raw=/dev/mapper/raw
make_fs ext4 $raw
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
fill $mnt

job="fio --name=load --filename=$mnt/load --size=16M --bs=4k --iodepth=16
	--ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1"

load() { # options of fio
	$job "$@" >$work/fio.out 2>&1 || die "fio $*: $(tail -n 20 $work/fio.out)"
}

# Until it is told to stop.
start_load() {
	$job --rw=randwrite --time_based --runtime=600 --do_verify=0 --fsync=64 \
		>$work/fio.out 2>&1 &
	fio=$!
}

stop_load() {
	busy
	kill -INT $fio
	wait $fio || [ $? = 128 ]
}

busy() {
	kill -0 $fio 2>/dev/null || die "fio ended too early: $(cat $work/fio.out)"
}

# Writes since the mount, to see that there is load.
writes() {
	local stat

	read -ra stat <"$(stats x)"
	echo "${stat[4]}"
}

more_writes() { # than N by 300
	[ "$(writes)" -ge $(($1 + 300)) ]
}

keep_writing() {
	local now

	now=$(writes)
	until_true more_writes "$now"
	busy
}

step "lay the file out"
load --rw=write
step "checkpoint under load"
sync -f $mnt
rm -f $work/before
manifest $mnt | grep -v load >$work/before
bow trim x
start_load
keep_writing
bow checkpoint --json x >$work/json
jq -e '.suspended_ms > 0 and .suspended_ms < 30000' $work/json >/dev/null || die "$(cat $work/json)"
step "suspended for $(jq .suspended_ms $work/json) ms"
busy
until_true reaches x 7 500
keep_writing
stop_load
load --rw=read
churn $mnt

step "rolled back, each block of the file is what fio had written by then"
umount $mnt
bow remove x 2>/dev/null
roll_back $raw
check_fs ext4 $raw
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
manifest $mnt | grep -v load | cmp - $work/before
load --rw=read

step "commit under load"
bow trim x
bow checkpoint x
start_load
until_true reaches x 7 300
churn $mnt 2
busy
dmsetup message x 0 commit
field_is x 1 committed || die "not committed"
keep_writing

step "a linear table in its place, under load"
dmsetup reload x --table "0 $(blockdev --getsz $raw) linear $raw 0"
dmsetup suspend x
dmsetup resume x
keep_writing
stop_load
load --rw=read
manifest $mnt/tree >$work/tree
umount $mnt
dmsetup remove x
exits 0 bow check $raw
check_fs ext4 $raw
mount $raw $mnt
load --rw=read
same $mnt/tree $work/tree
