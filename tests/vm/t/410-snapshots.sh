#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# blksnap by plain dmsetup: images of several devices at one instant, while the
# origins are written to; in any order, with private writes, too little space,
# slow reads, and everything that must be refused.
# timeout: 600

# shellcheck disable=SC2015,SC2086,SC2154
# shellcheck source=/dev/null
. /tests/t/4blk.inc

# --- several devices, several snapshots ----------------------------------------------

dmsetup create half --table "0 6147 linear $D_ODD 0"
dmsetup create other --table "0 8192 linear $D_SMALL 0"
origin a /dev/mapper/other
origin b /dev/mapper/half
for o in a b; do
	bowio fill /dev/mapper/$o $W/$o
	is "$(info $o 1) $(info $o 2)" "idle 0" "status before"
done
churn() { # ORIGIN GENERATION
	bowio write -t 3 -n 25 -s 512:65536 -a 512 -S "$2" -g "$2" "/dev/mapper/$1" "$W/$1"
}
take 1 $D1 4096 a b
is "$(state a-1) $(state b-1) $(info a 1)" "active active active" "states"
churn a 1000 & churn b 2000 & shows a-1 b-1
wait
take 2 $D1 4096 a b
churn a 3000 & churn b 4000 & shows a-2 b-2
wait
take 3 $D2 4096 a
churn a 5000
shows a-1 a-2 a-3 b-1 b-2
is "$(info a 2) $(info b 2)" "3 2" "live snapshots"
ok "five images of two devices" true

# Removed from the middle, the newest, the oldest: the others stay as they are.
gone a-2
churn a 6000
shows a-1 a-3
gone a-3
churn a 7000
take 4 $D1 4096 a
churn a 8000
shows a-1 a-4
gone a-1
churn a 9000
shows a-4
gone a-4
is "$(info a 1) $(info a 2)" "idle 0" "after the last"
churn a 10000
bowio verify /dev/mapper/a $W/a
shows b-1 b-2
gone b-1 b-2
ok "removed in any order" true

# --- private writes --------------------------------------------------------------------

take 1 $D1 8192 a
take 2 $D1 8192 a
bowio write -t 3 -n 40 -s 512:20000 -a 512 -g 20000 /dev/mapper/a-1 $W/a-1 &
bowio write -t 3 -n 40 -s 512:20000 -a 512 -g 30000 /dev/mapper/a-2 $W/a-2 &
churn a 40000
wait
shows a-1 a-2
bowio verify /dev/mapper/a $W/a
[ "$(info a-1 5)" -gt 0 ] || die "no private blocks: $(dmsetup status a-1)"
gone a-2 a-1
ok "writes to an image are its own" true

# --- what it costs ------------------------------------------------------------------------

disk low 16
low=$disk
disk store 256
store=$disk
origin c "$low"
bowio fill /dev/mapper/c $W/c
cost() { # writes to the store and reads of the origin, of 200 first writes
	local w r

	w=$(blk_stat "$store" writes) r=$(blk_stat "$low" reads)
	bowio write -n 200 -s 4096 -k 16 -q -r "$1+8192" -g 1 /dev/mapper/c $W/c >/dev/null
	echo "$(($(blk_stat "$store" writes) - w)) $(($(blk_stat "$low" reads) - r)) $(info c 4)"
}
take 1 "$store" 4096 c
one=$(cost 0)
is "$one" "200 200 200" "200 first writes, one snapshot"
take 2 "$store" 4096 c
take 3 "$store" 4096 c
take 4 "$store" 4096 c
is "$(cost 0)" "200 200 400" "200 first writes, four snapshots"
is "$(cost 0)" "0 0 400" "200 rewrites"
shows c-1 c-2 c-3 c-4
is "$(blk_stat "$store" flushes)" 0 "flushes"
ok "four snapshots cost what one does" true

# Discards have no effect while a snapshot is held; then they go down.
bowio discard -r 0+8192 /dev/mapper/c
bowio verify /dev/mapper/c $W/c
is "$(blk_stat "$low" discards)" 0 "discards below, with a snapshot"
bowio zeroout -r 20000+2000 /dev/mapper/c $W/c
shows c-1 c-4
bowio verify /dev/mapper/c $W/c
gone c-4 c-1 c-2 c-3
bowio discard -r 0+8192 /dev/mapper/c
[ "$(blk_stat "$low" discards)" -gt 0 ] || die "discards do not reach the device"
bowio fill /dev/mapper/c $W/c

# Everybody hears of a loss, once.
told() { # DEVICE...
	local d

	for d in "$@"; do
		events $d
	done
}
told_once() { # WHAT-TOLD-BEFORE DEVICE...
	local before=$1

	shift
	is "$(told "$@" | xargs)" "$(awk '{ print $1 + 1 }' <<<"$before" | xargs)" "events"
}

# --- too little space ----------------------------------------------------------------------

# For what is written to an image: that write fails, and nothing else does.
dmsetup create tiny --table "0 400 linear $store 0"
take 1 /dev/mapper/tiny 4096 c
take 2 "$store" 4096 a
bowio write -q -s 4096 -r 16+8 -g 40 /dev/mapper/c-1 $W/c-1
bowio write -E -n 100 -s 4096 -k 16 -q -r 1600+8192 -g 41 /dev/mapper/c-1 $W/c-1
[ "$(info c-1 5)" -lt 50 ] || die "room for all: $(dmsetup status c-1)"
for at in 0 100; do
	not dd if=/dev/zero of=/dev/mapper/c-1 bs=512 count=1 seek=$at oflag=direct status=none 2>$W/err
	grep -q 'No space left' $W/err || die "a write without room: $(cat $W/err)"
done
is "$(state c-1) $(info c 1) $(state a-2)" "active active active" "states"
bowio write -q -s 4096 -r 16+8 -g 42 /dev/mapper/c-1 $W/c-1
shows c-1 a-2
bowio verify /dev/mapper/c $W/c
gone c-1 a-2 tiny
ok "a write to an image without room fails alone" true

dmsetup create tiny --table "0 400 linear $store 0"
take 1 /dev/mapper/tiny 4096 c
take 2 "$store" 4096 a
take 2 /dev/mapper/tiny 4096 c
before=$(told c c-1 c-2)
bowio write -n 100 -s 4096 -k 16 -q -r 0+8192 -g 50 /dev/mapper/c $W/c
bowio verify /dev/mapper/c $W/c
is "$(state c-1) $(state c-2) $(info c 1)" "overflow overflow idle" "states"
told_once "$before" c c-1 c-2
not dd if=/dev/mapper/c-1 of=/dev/null bs=4096 count=1 iflag=direct status=none
not dd if=/dev/zero of=/dev/mapper/c-2 bs=4096 count=1 oflag=direct status=none
# A new one, in a store with room, is as good as any, and others never noticed.
take 3 "$store" 4096 c
bowio write -n 100 -s 4096 -k 16 -q -r 0+8192 -g 60 /dev/mapper/c $W/c
shows c-3 a-2
gone c-1 c-3 c-2 a-2 tiny
ok "a full store costs the snapshots, nothing else" true

# --- a store that fails, an origin that cannot be read --------------------------------------

dmsetup create bad --table "0 2000 linear $store 0
2000 6000 error"
take 1 /dev/mapper/bad 4096 c
before=$(told c c-1)
bowio write -n 400 -s 4096 -k 16 -q -r 0+8192 -g 70 /dev/mapper/c $W/c
bowio verify /dev/mapper/c $W/c
is "$(state c-1) $(info c 1)" "failed idle" "states"
told_once "$before" c c-1
not dd if=/dev/mapper/c-1 of=/dev/null bs=4096 count=1 iflag=direct status=none
gone c-1 bad
ok "so does a broken one" true

# What cannot be read for an image, or kept of what is written to one, is its own error...
modprobe dm-fault
size=$(sectors "$low")
dmsetup create sick --table "0 $size fault $low"
dmsetup create worn --table "0 $(sectors "$store") fault $store"
gone c
origin c /dev/mapper/sick
take 1 /dev/mapper/worn 4096 c
take 2 /dev/mapper/worn 4096 c
bowio write -s 4096 -q -r 400+8 -g 74 /dev/mapper/c $W/c
before=$(told c c-1 c-2)
fails() { # WHAT DD-ARGUMENT...
	not dd "${@:2}" bs=4096 count=1 status=none 2>$W/err
	grep -q 'Input/output error' $W/err || die "$1: $(cat $W/err)"
}
dmsetup message worn 0 "fail data 0 $size 0 0 drop"
fails "a read of what is kept" if=/dev/mapper/c-1 of=/dev/null skip=50 iflag=direct
fails "a write to an image" if=/dev/zero of=/dev/mapper/c-1 seek=60 oflag=direct
dmsetup message worn 0 heal
dmsetup message sick 0 "fail read 0 $size 0 0 drop"
fails "a read of the origin's" if=/dev/mapper/c-1 of=/dev/null iflag=direct
not dd if=/dev/zero of=/dev/mapper/c-1 bs=512 count=1 oflag=direct status=none
dmsetup message sick 0 heal
is "$(state c-1) $(state c-2) $(info c 1)" "active active active" "states"
is "$(told c c-1 c-2)" "$before" "events"
shows c-1 c-2
# ...and what cannot be read to be kept costs the snapshots; the write goes where it can.
dmsetup message sick 0 "fail read 0 $size 0 0 drop"
bowio write -s 4096 -q -r 800+8 -g 75 /dev/mapper/c $W/c
dmsetup message sick 0 heal
bowio verify /dev/mapper/c $W/c
is "$(state c-1) $(state c-2) $(info c 1)" "failed failed idle" "states"
told_once "$before" c c-1 c-2
gone c-1 c-2 c sick worn
origin c "$low"
ok "and old contents that cannot be read" true

# --- a slow read of an image ------------------------------------------------------------------

delay=$((3000 * VM_SLOW))
dmsetup create slow --table "0 $(sectors "$low") delay $low 0 $delay $low 0 0"
dmsetup remove c
origin c /dev/mapper/slow
take 1 "$store" 4096 c
# It has been sent to the origin.
reading() {
	local f

	read -ra f <"/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor c-1)/stat"
	[ "${f[8]}" -gt 0 ]
}
copying() {
	[ "$(info c 7)" -gt $idle ]
}
slow_read() { # BLOCK
	bowio check -r $(($1 * 8))+8 /dev/mapper/c-1 $W/c-1 || echo >$W/bad
}
slow_write() { # BLOCK
	bowio write -s 4096 -q -r $(($1 * 8))+8 -g $((80 + $1)) /dev/mapper/c $W/c
}
# The read comes first, so it is there before that of the copy for a write.
slow_read 1 &
wait_for 20 reading
slow_write 1
wait
# It comes when that is on its way already, and is there a second later.
idle=$(info c 7)
slow_write 2 &
writer=$!
wait_for 20 copying
sleep $VM_SLOW
slow_read 2 &
wait_for 20 reading
copying || die "the copy has been quicker than the read"
wait $writer
wait
[ ! -e $W/bad ] || die "the image showed a new block"
dmsetup reload slow --table "0 $(sectors "$low") linear $low 0"
dmsetup suspend slow
dmsetup resume slow
shows c-1
gone c-1 c slow
ok "writes wait for readers of an image" true

# --- refused ---------------------------------------------------------------------------------------

origin c "$low"
refused() { # WHAT COMPLAINT DMSETUP-ARGUMENT...
	local mark

	mark=$(($(dmesg | wc -l) + 1))
	not dmsetup "${@:3}" 2>/dev/null
	dmesg | tail -n +$mark | grep "$2" >/dev/null || die "$1: the kernel does not say '$2'"
	! dm_exists x || [ $3 != create ] || dmsetup remove x
	step "refused: $1"
}
size=$(sectors "$low") own="must not be the origin"
refused "no origin" "no blksnap-origin above it" \
	create x --table "0 $(sectors $D3) blksnap $D3 $store transient 4096"
refused "the origin as its store" "$own" \
	create x --table "0 $size blksnap $low /dev/mapper/c transient 4096"
refused "the same device" "$own" create x --table "0 $size blksnap $low $low transient 4096"
refused "block size" "must be a power of two" \
	create x --table "0 $size blksnap $low $store transient 5000"
refused "mode" "transient or persistent" create x --table "0 $size blksnap $low $store forever 4096"
refused "arguments" "Arguments: device, store" create x --table "0 $size blksnap $low $store transient"
refused "part of a device" "must span the whole device" \
	create x --table "0 $((size - 8)) blksnap $low $store transient 4096"
refused "a live origin" "suspend the origin first" \
	create x --table "0 $size blksnap $low $store transient 4096"
if zones_known; then
	disk zoned 32 zoned=1 zone_size=4
	refused "a device with zones" "blksnap-origin: Zoned devices are not supported" \
		create x --table "0 $(sectors "$disk") blksnap-origin $disk"
	# The device-mapper itself sees to that.
	refused "one as a store" "zoned model is not consistent" \
		create x --table "0 $size blksnap $low $disk transient 4096"
	disk_gone zoned
fi
refused "a second origin" "in use by another target" create x --table "0 $size blksnap-origin $low"
refused "odd end, large sectors" "larger sectors than the origin ends with" \
	create x --table "0 $(sectors /dev/mapper/b) blksnap $(lower b) $D_4K transient 4096"
take 1 "$store" 4096 c
dmsetup create x --notable
dmsetup reload x --table "$(image_table c "$store" 8192)"
dmsetup suspend c
refused "another block size" "not that of the other snapshots" resume x
dmsetup resume c
dmsetup remove x
refused "another table" "table of an image cannot be replaced" \
	reload c-1 --table "$(image_table c "$store" 4096)"
table=$(dmsetup table c-1)
is "$table" "0 $size blksnap $(lower c) $(dmsetup table c-1 | cut -d' ' -f5) transient 4096" "table"

# --- detached with an image -------------------------------------------------------------------

bowio verify /dev/mapper/c-1 $W/c-1
before=$(told c-1)
dmsetup reload c --table "0 $size linear $low 0"
dmsetup suspend c
dmsetup resume c
is "$(state c-1)" detached "state"
told_once "$before" c-1
not dd if=/dev/mapper/c-1 of=/dev/null bs=4096 count=1 iflag=direct status=none
dmsetup reload c --table "0 $size blksnap-origin $low"
dmsetup suspend c
dmsetup resume c
take 2 "$store" 4096 c
bowio write -n 50 -s 4096 -r 0+8192 -g 90 /dev/mapper/c $W/c
shows c-2
is "$(state c-1)" detached "state"
gone c-1 c-2 c b a half other
ok "detach" true
disk_gone low
disk_gone store
