#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# timeout: 600
# shellcheck disable=SC2086,SC2154,SC2251
#
# As 280, of blksnap: transient snapshots in files and on a device, one that is written
# to, one that is lost, a persistent one that is gone on with, changes that are tracked.

# shellcheck source=/dev/null
. /tests/t/4snap.inc
# shellcheck source=/dev/null
. /tests/t/2mem.inc

dmsetup create low --table "0 131072 linear $D1 0"
dmsetup create track --table "0 256 linear $D1 131072"
dmsetup create few --table "0 600 linear $D1 135168"
low=/dev/mapper/low track=/dev/mapper/track few=/dev/mapper/few
make_fs ext4 $low
mount $low $mnt
dd if=/dev/urandom of=$mnt/noise bs=1M count=24 status=none
umount $mnt

origin() {
	dmsetup create o --table "0 131072 blksnap-origin $low 4 cbt_block_size 4096 tracking $track"
}

# Here and there, so that there is a lot to be remembered.
scatter() { # WHERE WRITES SEED
	bowio write -n $2 -s 4096 -a 4096 -S $3 -g $(($3 * 10000)) $1 $work/written >/dev/null
	rm $work/written
}

# A file of the origin's filesystem, an image with writes of its own, a map.
transient() { # ROUND
	exits 0 blksnap take -n s --block-size 4K --store "$mnt/a store" --size 16M o
	exits 0 blksnap take -n t --block-size 4K --store $store o
	scatter $mnt/noise 1500 $1
	scatter /dev/mapper/o-s 300 $1
	exits 0 blksnap changed --since "$(blksnap list --json | jq -r \
		'.. | objects | select(.name == "o-s") | .id')" o-t
	exits 0 blksnap remove s t
	no_files
}

overflow() { # ROUND
	exits 0 blksnap take -n f --store $few o
	scatter $mnt/noise 400 $1
	is "$(dmsetup status o-f | cut -d' ' -f4)" overflow "state"
	exits 0 blksnap remove f
}

persistent() { # ROUND
	exits 0 blksnap take --persistent -n p --block-size 4K --store $store o
	scatter $mnt/noise 1000 $1
	umount $mnt
	dmsetup remove --retry o-p
	dmsetup remove --retry o
	origin
	exits 0 blksnap resume -n p --store $store o
	exits 0 blksnap remove p
}

refused() {
	not dmsetup create x --table "0 8 blksnap-origin $low" 2>/dev/null
	not dmsetup create x --table "0 131072 blksnap $low $store transient 5000" 2>/dev/null
	not dmsetup create x --table "0 131072 blksnap $low $store persistent 4096 1 resume" 2>/dev/null
	not dmsetup create x --table "0 8 blksnap-file $low /etc/passwd" 2>/dev/null
	not dmsetup create x --table "0 8 blksnap-map $low $(uuid_of o) 1" 2>/dev/null
	! dm_exists x || dmsetup remove x
}

use() { # a whole life
	modprobe dm-blksnap
	origin
	mount /dev/mapper/o $mnt
	transient $1
	overflow $1
	persistent $1
	refused
	dmsetup remove o
	unload
}

# In one life 4,000 runs of blocks are kept, of 32 bytes or more; what has not leaked
# grows by 250 KiB at first.
if long; then lives 8 500; else lives 3 350; fi
