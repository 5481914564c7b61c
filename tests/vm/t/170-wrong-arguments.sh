#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Each wrong table line gives its own error and leaves nothing behind; so do a
# live log, a second user, messages at the wrong time. In the end the module goes.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

disk a 32
other=$disk
disk b 32
len=$(sectors "$disk")

refused() { # ERROR TABLE
	dmesg -C
	! dmsetup create bad --table "$2" 2>/dev/null || die "taken: $2"
	dmesg | grep -qF "bow: $1" || die "\"$2\" does not say: $1"
	printf '%s\n' "$1" >>$W/errors
}

T="0 $len bow $disk"
size="block_size must be a power of two from 4096 to 1048576"
refused "Device argument is missing" "0 $len bow"
refused "Cannot open the device" "0 $len bow /dev/nothing"
refused "Bad number of feature arguments" "$T x"
refused "Bad number of feature arguments" "$T 8 a b c d e f g h"
refused "Bad number of feature arguments" "$T -1"
refused "Bad number of feature arguments" "$T 2 resume"
refused "Unknown feature argument" "$T 1 nonsense"
refused "Too many arguments" "$T 1 resume more"
for n in 2048 5000 2097152 -4096 4096k; do
	refused "$size" "$T 2 block_size $n"
done
refused "$size" "$T 1 block_size"
refused "on_full must be fail, hold or commit" "$T 2 on_full never"
refused "on_full must be fail, hold or commit" "$T 1 on_full"
refused "low_water must be a number of blocks" "$T 2 low_water many"
refused "low_water must be a number of blocks" "$T 1 low_water"
refused "low_water must be a number of blocks" "$T 2 low_water -1"
refused "Target must span the whole device and begin at 0" "0 $((len - 8)) bow $disk"
! dmsetup create bad --table "0 $((len + 8)) bow $disk" 2>/dev/null || die "longer than the device"
! dmsetup create bad --table "0 8 zero
8 $((len - 8)) bow $disk" 2>/dev/null || die "not the only target"
zones=0
if zones_known; then
	zoned=$(disk zoned 32 zoned=1 zone_size=4; echo "$disk")
	zones=1
	refused "Zoned devices are not supported" "0 $(sectors "$zoned") bow $zoned"
	disk_gone zoned
fi
[ "$(sort -u $W/errors | wc -l)" = $((9 + zones)) ] || die "errors are not all different"
# Nothing of all this holds the device or the module.
not dmsetup info bad 2>/dev/null
[ "$(cat /sys/module/dm_bow/refcnt)" = 0 ] || die "the module is in use"
rmmod dm-bow dm-cow
modprobe dm-bow
ok "wrong arguments"

# A table that was only loaded goes again.
dmsetup create bow --notable
dmsetup load bow --table "$(table "$disk")"
dmsetup clear bow
dmsetup remove bow
ok "loaded and cleared"

dmsetup create bow --table "$T 0"
dmsetup remove bow
load "$disk" block_size 65536 on_full hold low_water 77 resume
[ "$(dmsetup table bow | cut -d' ' -f5-)" = "7 block_size 65536 on_full hold low_water 77 resume" ] ||
	die "table: $(dmsetup table bow)"
dmsetup remove bow
ok "a line with everything"

# ---- a second user -------------------------------------------------------------

load "$disk"
refused "Device is in use by another target of this kind" "$T"
! dmsetup reload bow --table "$T 2 block_size 65536" 2>/dev/null || die "block_size changed"
dmesg | grep -q "block_size cannot be changed by a reload" || die "no word of block_size"
ok "a second one on the same device"
dmsetup remove bow

# The device below grows: the state map does not, so the table must not either.
dmsetup create grown --table "0 32768 linear $disk 0"
load /dev/mapper/grown
dmsetup reload grown --table "0 $len linear $disk 0"
dmsetup suspend grown
dmsetup resume grown
! dmsetup reload bow --table "0 $len bow /dev/mapper/grown" 2>/dev/null || die "grew by a reload"
dmesg | grep -q "The size of the device cannot be changed by a reload" || die "no word of the size"
dmsetup remove bow
dmsetup remove grown
load "$disk"
ok "a device that grows"

# ---- messages ------------------------------------------------------------------

no() { # WHAT MESSAGE...
	local what=$1

	shift
	! dmsetup message bow 0 "$@" 2>/dev/null || die "$what: $* was taken"
}

no "in trim state" commit
no "in trim state" reclaim
no "not suspended" checkpoint
no "any time" checkpoint now
no "any time" nonsense
dmsetup suspend bow
no "nothing is free" checkpoint
dmesg | grep -q "are needed: trim more" || die "no word of what is missing"
dmsetup resume bow
[ "$(field state)" = trim ] || die "state $(field state)"
bowio fill $D $W/old
bowio discard -r 8192+32768 $D
dmsetup suspend bow
no "suspended, not frozen" commit
dmsetup message bow 0 checkpoint
no "twice" checkpoint
dmsetup resume bow
no "without resume" reclaim
no "live" checkpoint
[ "$(field state)" = checkpoint ] || die "state $(field state)"
ok "messages at the wrong time"

# A checkpoint message and a resume at once: refused, or in time; never in between.
dmsetup message bow 0 commit
taken=0
for i in 1 2 3 4; do
	dmsetup suspend bow
	dmsetup resume bow &
	if dmsetup message bow 0 checkpoint 2>/dev/null; then
		taken=$((taken + 1))
		wait
		cp $W/old $W/new
		bowio write -n 20 -S $i -s 4096 -r 0+8192 $D $W/new >/dev/null
		bowio verify -x 8192+32768 $D $W/new
		dmsetup message bow 0 commit
		cp $W/new $W/old
	fi
	wait
	[ "$(field state)" = committed ] || die "raced: $(field state)"
done
ok "message against resume: in time in $taken of 4"

# ---- a live log ----------------------------------------------------------------

suspended checkpoint
dmsetup remove bow
refused "Device carries a log: restore, commit or resume it" "$T"
refused "Device carries a log: restore, commit or resume it" "$T 2 block_size 65536"
! dmsetup create bow --table "$T 3 resume block_size 65536" 2>/dev/null ||
	die "resumed with another block size"
dmesg | grep -q "the log has block_size 4096" || die "no word of the log's block_size"
dmsetup info bow >/dev/null 2>&1 && dmsetup remove bow
expect 1 bow check "$disk"
ok "a live log"

# A log that is damaged: the header is good, its records are not, slot 1 neither.
slot1=$(place "$disk" slot1)
for at in 0 "$slot1"; do
	dd if="$disk" of=$W/page bs=4096 count=1 skip=$((at / 8)) iflag=direct 2>/dev/null
	printf 'xxxxxxxxxxxxxxxx' | dd of=$W/page bs=1 seek=600 conv=notrunc 2>/dev/null
	dd if=$W/page of="$disk" bs=4096 count=1 seek=$((at / 8)) oflag=direct 2>/dev/null
done
! dmsetup create bow --table "$T 1 resume" 2>/dev/null || die "a damaged log was resumed"
dmesg | grep -q "log is damaged" || die "no word of damage"
dmsetup info bow >/dev/null 2>&1 && dmsetup remove bow
expect 4 bow restore "$disk"
ok "a damaged log"

# ---- everything goes -------------------------------------------------------------

bowio fill "$other" $W/old
load "$other"
bowio discard -r 8192+32768 $D
checkpoint
bowio write -n 30 -s 4096 $D $W/old >/dev/null
dmsetup remove bow
disk_gone a
disk_gone b
rmmod dm-bow
rmmod dm-cow
ok "the modules go"
