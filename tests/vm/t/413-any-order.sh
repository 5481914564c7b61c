#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
#
# Suspended, reloaded, resumed and removed in every order, origins, images and what
# lies below them: nothing hangs, nothing that was kept is lost, and what cannot be
# is refused. Then an origin whose disk fails, one whose disk goes away, and one whose
# disk is pulled out.

# shellcheck disable=SC2015,SC2086,SC2154
# shellcheck source=/dev/null
. /tests/t/4blk.inc

disk store 64
store=$disk
disk low 8
low=$disk
dmsetup create below --table "0 $(sectors $low) linear $low 0"
origin c /dev/mapper/below
bowio fill /dev/mapper/c $W/c
generation=0

write() {
	generation=$((generation + 100))
	bowio write -t 2 -n 6 -s 512:16384 -a 512 -S $generation -g $generation /dev/mapper/c $W/c >/dev/null
}


# --- all orders of suspending three of them, and of resuming --------------------------

orders=("below c c-1" "below c-1 c" "c below c-1" "c c-1 below" "c-1 below c" "c-1 c below")
take 1 $store 4096 c
write
for down in "${orders[@]}"; do
	# What is suspended last must not wait for what was suspended first.
	for d in $down; do
		dmsetup suspend --nolockfs $d
	done
	for d in $down; do
		[ $d = c-1 ] || dmsetup reload $d --table "$(dmsetup table $d)"
	done
	for d in $down; do
		dmsetup resume $d
	done
	write
	shows c-1
done
is "$(state c-1)" active "state"
ok "all orders of suspending, reloading, resuming" true

# --- taken and removed while something is suspended -------------------------------------

dmsetup suspend c-1
write
take 2 $store 4096 c
write
dmsetup resume c-1
shows c-1 c-2
dmsetup suspend c-1
gone c-1
shows c-2
dmsetup suspend c
gone c-2
dmsetup resume c
is "$(info c 1) $(info c 2)" "idle 0" "the origin"
write
bowio verify /dev/mapper/c $W/c
ok "taken and removed meanwhile" true

# --- tables that are never used -----------------------------------------------------------

take 1 $store 4096 c
dmsetup create c-2 --notable
dmsetup reload c-2 --table "$(image_table c $store 4096)"
write
dmsetup clear c-2
dmsetup reload c-2 --table "$(image_table c $store 4096)"
dmsetup remove c-2
dmsetup reload c --table "$(dmsetup table c)"
dmsetup clear c
write
shows c-1
ok "tables that are never used" true

# --- the origin first ------------------------------------------------------------------------

dmsetup remove c
is "$(state c-1)" detached "an image whose origin is gone"
not dd if=/dev/mapper/c-1 of=/dev/null bs=4k count=1 iflag=direct status=none
# Who looks for the filesystem's origin must not stumble over one without a device.
mke2fs -q -t ext4 $D_SMALL
mkdir $W/mnt
mount $D_SMALL $W/mnt
fallocate -l 1M $W/mnt/store
dmsetup create f --table "0 1024 blksnap-file $(lsblk -dnro MAJ:MIN $D_SMALL) $W/mnt/store"
gone f
wait_for 20 umount $W/mnt
# An origin once more, for a device that is another one: the image stays lost.
origin c /dev/mapper/below
is "$(state c-1)" detached "an image whose origin is back"
bowio verify /dev/mapper/c $W/c
gone c-1
take 1 $store 4096 c
write
shows c-1
ok "the origin removed before its image" true

# --- a store that is still needed when the images that it was for are gone --------------

gone c-1
disk two 64
two=$disk
take 1 $store 4096 c
take 2 $two 4096 c
write
gone c-2
not dmsetup create mine --table "0 8 linear $two 0" 2>/dev/null
! dm_exists mine || dmsetup remove mine
write
shows c-1
gone c-1
dmsetup create mine --table "0 8 linear $two 0"
gone mine
ok "a store is nobody else's as long as it is needed" true

# --- a store that somebody else has got all the same ------------------------------------

# Another table could name it while one of ours did; it keeps us from claiming it.
take 1 $store 4096 c
take 2 $two 4096 c
bowio write -q -s 4096 -r 0+8 -g 40000 /dev/mapper/c $W/c
dmsetup create mine --table "0 $(sectors $two) linear $two 0"
gone c-2
dd if=/dev/zero of=/dev/mapper/mine bs=1M count=1 oflag=direct status=none
# What is there now is neither shown nor made an image's own...
not dd if=/dev/mapper/c-1 of=/dev/null bs=4k count=1 iflag=direct status=none
not dd if=/dev/zero of=/dev/mapper/c-1 bs=512 count=1 oflag=direct status=none
bowio check -r 64+64 /dev/mapper/c-1 $W/c-1
is "$(state c-1)" active "state"
# ...and nothing of ours goes there.
write
is "$(state c-1) $(info c 1)" "overflow idle" "states"
cmp -n 1048576 /dev/mapper/mine /dev/zero
bowio verify /dev/mapper/c $W/c
gone c-1 mine
disk_gone two
take 1 $store 4096 c
ok "nothing is shown of it, nothing is written to it" true

# --- an image is removed by force, while it is read and written to ----------------------

# For that it gets another table: what is on its way ends first, what comes later is an
# error, and the origin goes on.
below_is() { # TABLE
	dmsetup suspend --nolockfs c
	dmsetup reload below --table "$1"
	dmsetup suspend --nolockfs below
	dmsetup resume below
	dmsetup resume c
}

busy_with() { # DEVICE REQUESTS
	local f

	read -ra f <"/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor $1)/stat"
	[ "${f[8]}" -ge $2 ]
}

write
below_is "0 $(sectors $low) delay $low 0 $((500 * VM_SLOW)) $low 0 0"
for n in 1 2 3 4; do
	while dd if=/dev/mapper/c-1 of=/dev/null bs=64k skip=$((n * 20)) iflag=direct status=none \
			2>$W/reader$n; do
		:
	done &
done
while bowio write -t 2 -n 50 -s 4096 -g 45000 /dev/mapper/c-1 $W/c-1 >/dev/null 2>$W/writer; do
	:
done &
wait_for 60 busy_with c-1 4
dmsetup remove --force c-1 >/dev/null 2>&1 || :	# they have it open
is "$(info c 1) $(info c 2)" "idle 0" "the origin"
wait
for f in reader1 reader2 reader3 reader4 writer; do
	grep -q 'Input/output error' $W/$f || die "$f: $(cat $W/$f)"
done
! dm_exists c-1 || gone c-1
below_is "0 $(sectors $low) linear $low 0"
write
bowio verify /dev/mapper/c $W/c
take 1 $store 4096 c
write
shows c-1
ok "an image removed by force, with I/O on its way" true

# --- the disk below fails ---------------------------------------------------------------------

# From the second half on; what is kept already is not concerned.
half=$(($(sectors $low) / 2))
bowio write -q -n 64 -s 4096 -r 0+512 -g 50000 /dev/mapper/c $W/c
dmsetup suspend --nolockfs c
dmsetup suspend --nolockfs below
dmsetup reload below --table "0 $half linear $low 0
$half $half error"
dmsetup resume below
dmsetup resume c
bowio check -r 0+512 /dev/mapper/c-1 $W/c-1
not dd if=/dev/mapper/c-1 of=/dev/null bs=4k count=1 skip=$((half / 8)) iflag=direct status=none
is "$(state c-1)" active "a read of a bad block"
# What cannot be read cannot be kept: the write is not the snapshot's to refuse.
not dd if=/dev/zero of=/dev/mapper/c bs=4k count=1 seek=$((half / 8)) oflag=direct status=none
is "$(state c-1) $(info c 1)" "failed idle" "after a write to one"
bowio write -n 20 -s 4096 -r 0+$half -S 3 -g 60000 /dev/mapper/c $W/c
bowio check -r 0+2048 -r 2048+2048 -r 4096+2048 -r 6144+2048 /dev/mapper/c $W/c
gone c-1
dmsetup suspend --nolockfs c
dmsetup suspend --nolockfs below
dmsetup reload below --table "0 $(sectors $low) linear $low 0"
dmsetup resume below
dmsetup resume c
bowio verify /dev/mapper/c $W/c
ok "an origin whose disk fails in part" true

# --- and goes away ------------------------------------------------------------------------------

take 1 $store 4096 c
write
dmsetup wipe_table below
not dd if=/dev/zero of=/dev/mapper/c bs=4k count=1 oflag=direct status=none
not dd if=/dev/mapper/c-1 of=/dev/null bs=4k count=1 skip=1000 iflag=direct status=none
not bowio write -n 20 -s 4096 -S 4 -g 70000 /dev/mapper/c $W/c 2>/dev/null
gone c-1 c below
ok "an origin whose disk goes away" true
disk_gone low

# --- and is pulled out, while all that is above stays -------------------------------------------

# An origin on the disk itself, and of its image the first 256 sectors kept.
plug() { # NAME
	disk $1 16
	origin $1 $disk
	bowio fill /dev/mapper/$1 $W/$1
	take 1 $store 4096 $1
	# Nothing is copied ahead of writes of that size.
	bowio write -q -n 2 -s 65536 -r 0+256 -g 80000 /dev/mapper/$1 $W/$1
	is "$(info $1 4)" 32 "blocks kept"
}

pull() { # NAME
	echo 0 >/sys/kernel/config/nullb/$1/power
}

# They end with an error of I/O: nothing hangs, nothing is made up.
fails_to_read() { # DEVICE BLOCK
	not dd if=/dev/mapper/$1 of=/dev/null bs=4k count=1 skip=$2 iflag=direct \
		status=none 2>$W/err-$1
	grep -q 'Input/output error' $W/err-$1 || die "$1: $(cat $W/err-$1)"
}
fails_to_write() { # DEVICE BLOCK
	not dd if=/dev/zero of=/dev/mapper/$1 bs=4k count=1 seek=$2 oflag=direct \
		status=none 2>$W/err-$1
	grep -q 'Input/output error' $W/err-$1 || die "$1: $(cat $W/err-$1)"
}

plug idle
pull idle
# What is in the store is there still; the rest is where nobody can read it.
bowio check -r 0+256 /dev/mapper/idle-1 $W/idle-1
fails_to_read idle-1 100
fails_to_read idle 100
fails_to_write idle 3
is "$(state idle-1) $(info idle 1)" "active active" "a disk that is gone"
bowio check -r 0+256 /dev/mapper/idle-1 $W/idle-1
# The first block that is to be kept and cannot be read costs the snapshot, no more.
fails_to_write idle 200
is "$(state idle-1) $(info idle 1)" "failed idle" "after a write"
fails_to_read idle-1 0
fails_to_write idle-1 0
fails_to_write idle 200
not dmsetup create x --table "0 32768 blksnap $(lower idle) $store transient 4096" 2>/dev/null
! dm_exists x || dmsetup remove x
gone idle-1 idle
disk_gone idle
ok "an origin whose disk is pulled out" true

# The same with copies, writes and reads under way, none of which ends by itself.
plug busy
while bowio write -t 4 -n 500 -s 4096 -r 256+16384 -g 90000 /dev/mapper/busy $W/busy \
		>/dev/null 2>$W/writer; do
	:
done &
writer=$!
while dd if=/dev/mapper/busy-1 of=/dev/null bs=4k iflag=direct status=none 2>$W/reader; do
	:
done &
reader=$!
has_copied() { [ "$(info busy 4)" -gt 100 ]; }
wait_for 60 has_copied
pull busy
wait $writer $reader
grep -q 'Input/output error' $W/writer || die "the writer: $(cat $W/writer)"
grep -q 'Input/output error' $W/reader || die "the reader: $(cat $W/reader)"
fails_to_read busy 100
fails_to_write busy 4000
is "$(state busy-1) $(info busy 1)" "failed idle" "after writes"
gone busy busy-1
disk_gone busy
ok "one that is in use" true
disk_gone store
