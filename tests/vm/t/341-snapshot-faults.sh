#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# As 340, of the targets of blksnap: every allocation and every request fails, of the
# constructors, of taking a snapshot, writing to an origin or to an image, removing.
# A write to the origin does not fail for it, be it the store that fails or memory;
# an image shows what it should or nothing.
# kernels: uml debug
# timeout: 600
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
raw=/dev/mapper/raw store=/dev/mapper/store

dmsetup create origin --notable
# Each client of kcopyd has pages in reserve, but need not have 128 of them here.
echo 8 >/sys/module/dm_mod/parameters/kcopyd_subjob_size_kb
# What the core asks for is 340's, one by one; here all of it fails at once.
not_below $(text_of cow)
one_by_one "an origin" origin blksnap-origin $raw
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
dmsetup create origin --table "0 8192 blksnap-origin $raw"
dmsetup create image --notable
one_by_one "an image" image blksnap "$raw $store transient 4096"
dmsetup remove image
dmsetup remove origin

operations blksnap $raw $store
grep -q ' [1-9][0-9]* images lost$' $W/out || die "no image was ever lost"
dmsetup remove raw
dmsetup remove store
