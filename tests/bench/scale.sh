#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How cost grows with the size of the device, in the guest: the window in which a
# device is suspended for a checkpoint or a snapshot, and memory; and how long a
# rollback takes beside a copy of as much. Each result is a line, "RESULT {...}".
#
# Where nothing needs to be read back the disk is one that keeps nothing, of any size.

# shellcheck disable=SC2154
# shellcheck source=/dev/null
. /tests/lib.sh
export DM_DISABLE_UDEV=1
modprobe -a dm-bow dm-blksnap dm-latency
load_null_blk

GiB=$((1 << 30))
TIMES=5

now_us() {
	echo "${EPOCHREALTIME/./}"
}

result() { # NAME=VALUE...
	local item line=''

	for item in "$@"; do
		case ${item#*=} in
		*[!0-9.]*) line+="\"${item%%=*}\":\"${item#*=}\"," ;;
		*)	line+="\"${item%%=*}\":${item#*=}," ;;
		esac
	done
	echo "RESULT {${line%,}}"
}

# The middle one of the numbers on stdin.
median() {
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# How long COMMAND takes in a suspended device, suspend and resume included: in us.
window() { # DEVICE COMMAND...
	local start

	start=$(now_us)
	dmsetup suspend "$1"
	"${@:2}"
	dmsetup resume "$1"
	echo $(($(now_us) - start))
}

# The middle one of windows, each on a line of stdin.
window_result() { # STACK GIB
	local us

	us=$(median)
	result what=window "stack=$1" "gib=$2" "ms=$((us / 1000)).$((us % 1000 / 100))"
}

# ---- bow -------------------------------------------------------------------------

enter_and_leave() { # how often
	local i

	for ((i = 0; i < $1; i++)); do
		window b dmsetup message b 0 checkpoint
		window b dmsetup message b 0 commit >/dev/null
	done
}

# The same, each in a new device.
enter_first() { # BYTES HOW-OFTEN
	local i

	for ((i = 0; i < $2; i++)); do
		up_bow "$1"
		window b dmsetup message b 0 checkpoint
		dmsetup remove b
		dd if=/dev/zero of="$disk" bs=4k count=1 oflag=direct status=none
	done
}

up_bow() { # BYTES
	dmsetup create b --table "0 $(($1 / 512)) bow $disk"
	blkdiscard -f -o $(($1 / 2)) /dev/mapper/b 2>/dev/null
}

scale_bow() { # GIB
	local bytes=$(($1 * GiB)) i

	disk base $(($1 * 1024)) memory_backed=0 discard=0
	enter_first "$bytes" $TIMES | window_result bow "$1"
	up_bow "$bytes"
	enter_and_leave $TIMES | window_result bow-again "$1"
	for ((i = 0; i < TIMES; i++)); do window b true; done | window_result nothing "$1"
	dmsetup remove b
	disk_gone base
}

# ---- blksnap ---------------------------------------------------------------------

take_and_drop() { # MODE HOW-OFTEN
	local i

	for ((i = 0; i < $2; i++)); do
		dmsetup create s --notable
		dmsetup load s --table "0 $(blockdev --getsz "$base") blksnap $base $spare $1 4096"
		window b dmsetup resume s
		dmsetup remove --retry s
		dmsetup message b 0 forget 2>/dev/null || :
	done
}

scale_blksnap() { # GIB
	local mode

	disk base $(($1 * 1024)) memory_backed=0 discard=0
	base=$disk
	disk spare 1024 memory_backed=1 discard=0
	spare=$disk
	dmsetup create b --table "0 $(blockdev --getsz "$base") blksnap-origin $base"
	for mode in transient persistent; do
		take_and_drop $mode $TIMES | window_result "blksnap-$mode" "$1"
	done
	dmsetup remove b
	disk_gone base
	disk_gone spare
}

# ---- memory ----------------------------------------------------------------------

# A million writes all over a device.
scattered() { # DEVICE BYTES
	fio --name=x --filename="$1" --size="$2" --rw=randwrite --bs=4k --iodepth=32 --direct=1 \
		--ioengine=libaio --norandommap --randrepeat=1 --number_ios="$WRITES" \
		--output-format=json >/run/fio.json
}

memory_bow() { # GIB
	local bytes=$(($1 * GiB)) status

	disk base $(($1 * 1024)) memory_backed=0 discard=0
	up_bow "$bytes"
	window b dmsetup message b 0 checkpoint >/dev/null
	scattered /dev/mapper/b $((bytes / 2))
	read -ra status < <(dmsetup status b)
	result what=memory stack=bow "gib=$1" "changed=${status[9]}" "bytes=${status[17]}" \
		"peak=${status[18]}" "map=$((bytes / 4096 / 4))"
	dmsetup remove b
	disk_gone base
}

memory_blksnap() { # GIB
	local bytes=$(($1 * GiB)) origin status

	disk base $(($1 * 1024)) memory_backed=0 discard=0
	base=$disk
	disk spare $((WRITES / 200)) memory_backed=0 discard=0
	spare=$disk
	dmsetup create b --table "0 $((bytes / 512)) blksnap-origin $base"
	dmsetup create s --notable
	dmsetup load s --table "0 $((bytes / 512)) blksnap $base $spare transient 4096"
	window b dmsetup resume s >/dev/null
	scattered /dev/mapper/b "$bytes"
	read -ra origin < <(dmsetup status b)
	read -ra status < <(dmsetup status s)
	echo "# ${origin[*]}"
	result what=memory stack=blksnap-transient "gib=$1" "changed=${status[6]}" \
		"bytes=${status[8]}" "map=$((bytes / 4096 / 4))"
	dmsetup remove --retry s
	dmsetup remove b
	disk_gone base
	disk_gone spare
}

# ---- restore ---------------------------------------------------------------------

# What was changed: with writes of 1 MiB, or of 4 KiB. An SSD as in guest.sh; sata: 400
# megabytes a second are all there is. Beside it the fastest of three copies, in pieces of
# the same size, one at a time.
restored() { # memory|ssd|sata WRITE-SIZE MEBIBYTES READ-WRITE
	local start us copy=0 more=()

	[ "$1" != sata ] || more=(mbps=400)
	disk base 1024 memory_backed=1 discard=0 "${more[@]}"
	base=$disk
	dd if=/dev/zero of="$disk" bs=1M count=1024 oflag=direct status=none
	if [ "$1" = ssd ]; then
		dmsetup create ssd --table "0 $((2 << 20)) latency $disk 80 20 1000"
		base=/dev/mapper/ssd
	fi
	for _ in 1 2 3; do
		start=$(now_us)
		dd if="$base" of="$base" bs="${2^^}" iflag=direct,skip_bytes,count_bytes \
			oflag=direct,seek_bytes count="$3M" skip=513M seek=1M conv=notrunc,fsync \
			status=none
		us=$(($(now_us) - start))
		[ "$copy" != 0 ] && [ "$copy" -lt "$us" ] || copy=$us
	done
	dmsetup create b --table "0 $((2 << 20)) bow $base"
	blkdiscard -f -o $((512 << 20)) /dev/mapper/b 2>/dev/null
	window b dmsetup message b 0 checkpoint >/dev/null
	fio --name=x --filename=/dev/mapper/b --offset=1m --size=448m --rw="$4" --bs="$2" \
		--iodepth=32 --direct=1 --ioengine=libaio --io_size="$3m" --output-format=json >/run/fio.json
	dmsetup remove b
	start=$(now_us)
	bow check "$base" >/dev/null || [ $? = 1 ]
	us=$(($(now_us) - start))
	echo "# check: $((us / 1000)) ms"
	start=$(now_us)
	bow restore "$base" >/dev/null || [ $? = 1 ]
	us=$(($(now_us) - start))
	result what=restore "disk=$1" stack=bow "writes=$2" "mib=$3" "ms=$((us / 1000))" \
		"copy_ms=$((copy / 1000))" "percent=$((us * 100 / copy))"
	[ "$1" != ssd ] || dmsetup remove ssd
	disk_gone base
}

# ---- all of it ---------------------------------------------------------------------

for gib in ${SIZES-1 64 1024 16384}; do
	scale_bow "$gib"
	scale_blksnap "$gib"
done
[ "${WRITES:=1000000}" = 0 ] || {
	memory_bow 16384
	memory_blksnap 16384
}
for kind in memory ssd sata; do
	restored $kind 1m 256 write
	restored $kind 4k 64 randwrite
done
