#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the guest: a whole life of a checkpoint on ext4, recorded below bow; or of a
# persistent snapshot, recorded below blksnap.
#
#   record.sh NAME:DATA:LOG:VIEW:FSBLOCK:HOW[:ORIGIN]...
#
#   ext4 on bow on all of DATA but its last 4 KiB, dm-log-writes on DATA, to LOG.
#   ORIGIN is so many sectors of DATA, the rest is the store
#   HOW   frozen: the filesystem is frozen during the commit, and what is to be
#                 read just before it goes to VIEW
#         loaded: writers go on during the commit
#         cut:    a short one, to be cut anywhere before its end
#         resumed: DATA is such a cut one. Resumed, mounted, trimmed, reclaimed,
#                 used; then as frozen
#   of a snapshot:
#         whole:  suspended, left, gone on with, forgotten while writers go on
#         full:   the store is too small
#         cut, resumed: as above
#
# The last 4 KiB of DATA take the marks, see recording.c.

# shellcheck source=tests/vm/block.sh
. /tests/block.sh

mark() { # STEP [CONV]
	printf 'dm-cow replay: %s\n' "$1" |
		dd of=/dev/mapper/lw bs=4096 seek="$mark_at" count=1 conv=sync"${2-}" \
			oflag=direct iflag=fullblock status=none
}

start() { # NAME DATA LOG
	local sectors queue

	sectors=$(blockdev --getsz "$2")
	mark_at=$((sectors / 8 - 1))
	dmsetup create lw --table "0 $sectors log-writes $2 $3"
	dmsetup create lower --table "0 $((sectors - 8)) linear /dev/mapper/lw 0"
	# dm-log-writes offers flushes whatever the disk does.
	if [ "$1" = through ]; then
		queue=/sys/block/dm-$(dmsetup info -c --noheadings -o minor lower)/queue
		echo 'write through' >"$queue/write_cache"
	fi
}

# The names of SCSI disks are given as they are found.
device() { # DEVICE or serial=NAME
	local d

	[[ $1 == serial=* ]] || { echo "$1"; return; }
	for d in /sys/block/sd*; do
		! grep -qa "${1#serial=}\$" "$d/device/vpd_pg80" || echo "/dev/${d##*/}"
	done
}

stop() {
	local d

	for d in "$@" lower lw; do
		dmsetup remove --retry "$d"
	done
}

seed=${SEED:-1}
RANDOM=$seed
work() { # THREADS OPERATIONS
	seed=$((seed + 1))
	churn work /mnt $seed "$1" "$2"
}

# New data into free space until little is left: what bow keeps there must move.
into_free_space() {
	local left

	while left=$(($(field free) - 600)); [ $left -gt 60 ]; do
		[ "$(df --output=avail -k /mnt | tail -n 1)" -gt $((left * 4 + 800)) ] || break
		churn grow /mnt $left $((left * 3000))
	done
	rm -f /mnt/grown
	sync -f /mnt
}

# Write to where the log says that PLACE is, if the file has that block.
claim() { # PLACE FSBLOCK
	local sector was block

	sector=$(place /dev/mapper/lower "$1")
	was=$sector
	block=$(filefrag -v -b"$2" /mnt/grown | gawk -v at=$((sector * 512 / $2)) -F '[ .:]+' '
		$2 ~ /^[0-9]+$/ && at >= $5 && at <= $6 { print $3 + at - $5 }')
	[ -n "$block" ] || return 0
	dd if=/dev/urandom of=/mnt/grown bs="$2" count=1 seek="$block" conv=notrunc,fsync \
		status=none
	sector=$(place /dev/mapper/lower "$1")
	[ "$sector" != "$was" ] || die "$1 is still at $sector"
	step "$1 moved from $was to $sector"
	claimed=$((claimed + 1))
}

# ext4 has little left but what bow uses: a file of blocks that were never written, of
# all that ext4 gives, and then data here and there in it.
collide() { # FSBLOCK
	local place claimed=0 avail spare

	avail=$(df --output=avail -k /mnt | tail -n 1)
	for spare in 50 100 200 400 800; do
		! fallocate -l $((avail - spare))k /mnt/grown || break
	done
	for place in slot1 seal live0 live1 live2; do
		claim "$place" "$1"
	done
	churn poke /mnt "$seed" 50
	rm -f /mnt/grown
	[ $claimed -gt 2 ] || die "only $claimed places moved"
	[ "$(field collisions)" -gt 0 ] || die "no collisions: $(dmsetup status bow)"
}

churn_all() { # FSBLOCK
	work 1 20
	work 4 30
	into_free_space
	collide "$1"
	work 3 15
}

commit_frozen() { # VIEW
	fsfreeze -f /mnt
	dd if="$D" of="$1" bs=1M iflag=direct oflag=direct status=none
	mark commit
	dmsetup message bow 0 commit
	mark committed
	fsfreeze -u /mnt
	work 2 5
}

commit_loaded() {
	work 4 20 &
	mark commit
	dmsetup message bow 0 commit
	mark committed
	wait
}

begin() { # FSBLOCK
	load /dev/mapper/lower
	mke2fs -q -F -t ext4 -b "$1" -m 0 -N 512 \
		-E nodiscard,lazy_itable_init=0,lazy_journal_init=0 $D
	mount $D /mnt
	churn fill /mnt "$seed"
	bow trim bow
	dmsetup suspend bow
	mark take ,fsync
	dmsetup message bow 0 checkpoint
	mark taken
	dmsetup resume bow
	is "$(field state)" checkpoint
}

# The reserve is enough for the mount; then ext4 tells what is free.
go_on() {
	local before

	mark take ,fsync
	load /dev/mapper/lower resume
	mark taken
	is "$(field state)" checkpoint
	mount $D /mnt
	before=$(field free)
	bow trim --reclaim bow
	[ "$(field free)" -gt "$before" ] || die "reclaim: $(dmsetup status bow)"
	work 3 20
	churn grow /mnt "$seed" 3000000
	rm -f /mnt/grown
	sync -f /mnt
	work 2 10
}

record() { # NAME DATA LOG VIEW FSBLOCK HOW
	step "$1: $6, blocks of $5"
	start "$1" "$2" "$3"
	case $6 in
	resumed) go_on ;;
	*)	begin "$5" ;;
	esac
	case $6 in
	cut)	work 2 15; work 4 10 ;;
	frozen|loaded) churn_all "$5" ;;
	esac
	step "$(dmsetup status bow)"
	case $6 in
	cut)	mark commit; mark committed ;;
	resumed) commit_frozen "$4" ;;
	*)	"commit_$6" "$4" ;;
	esac
	[ "$6" = cut ] || is "$(field state)" committed
	umount /mnt
	stop bow
}

# --- a persistent snapshot -----------------------------------------------------------

# One disk, so that the order of what goes to the two is known. dm-delay, for it tells
# by its sector where a flush was sent to; dm-linear does not, from 6.11 on.
start_apart() { # DATA LOG ORIGIN
	local sectors

	sectors=$(blockdev --getsz "$1")
	mark_at=$((sectors / 8 - 1))
	dmsetup create lw --table "0 $sectors log-writes $1 $2"
	dmsetup create lower --table "0 $3 delay /dev/mapper/lw 0 0"
	dmsetup create store --table "0 $((sectors - 8 - $3)) delay /dev/mapper/lw $3 0"
	origin=$3
}

attach() {
	dmsetup create o --table "0 $origin blksnap-origin /dev/mapper/lower"
}

load_image() { # [FEATURE...]
	local n=$#

	dmsetup create i --notable
	dmsetup reload i --table \
		"0 $origin blksnap /dev/mapper/lower /dev/mapper/store persistent 4096${*:+ $n $*}"
}

snap_state() { # The persistent snapshot's
	dmsetup status o | cut -d' ' -f15
}

# The last block is not ext4's. What is in it when the snapshot is taken was flushed by
# nobody but the take.
begin_apart() {
	attach
	mke2fs -q -F -t ext4 -b 4096 -N 512 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 \
		/dev/mapper/o $((origin / 8 - 1))
	mount /dev/mapper/o /mnt
	churn fill /mnt "$seed"
	load_image
	dmsetup suspend o
	dd if=/dev/urandom of=/dev/mapper/lower bs=4096 count=1 seek=$((origin / 8 - 1)) \
		oflag=direct status=none
	mark take
	dmsetup resume i
	dmsetup resume o
	mark taken
	is "$(snap_state)" active
}

go_on_apart() {
	attach
	load_image resume
	dmsetup suspend o
	mark take ,fsync
	dmsetup resume i
	dmsetup resume o
	mark taken
	is "$(snap_state)" active
	mount /dev/mapper/o /mnt
	work 3 20
}

# Nobody needs them after a power cut, but they take space between that of the log.
write_to_image() {
	dd if=/dev/urandom of=/dev/mapper/i bs=4096 count=9 seek=$((RANDOM % 5000)) \
		oflag=direct status=none
}

suspend_for_a_while() {
	mark suspend
	dmsetup suspend o
	dmsetup resume o
	mark resumed
}

# As an orderly reboot does it: the log stays where it is.
leave_and_return() {
	umount /mnt
	dmsetup remove --retry i
	dmsetup remove --retry o
	attach
	load_image resume
	mark suspend
	dmsetup suspend o
	dmsetup resume i
	dmsetup resume o
	mark resumed
	is "$(snap_state)" active
	mount /dev/mapper/o /mnt
}

whole_life() {
	work 1 20
	write_to_image
	work 4 30
	suspend_for_a_while
	work 3 15
	write_to_image
	leave_and_return
	work 3 15
}

forget_loaded() {
	work 4 20 &
	mark commit
	dmsetup message o 0 forget
	mark committed
	wait
	is "$(snap_state)" forgotten
}

# No store takes more than its size.
fill_the_store() {
	local n

	work 2 20
	is "$(snap_state)" active
	mark commit
	for n in {1..20}; do
		[ "$(snap_state)" = active ] || break
		work 4 20
	done
	mark committed
	is "$(snap_state)" overflow
	work 2 5
}

record_apart() { # NAME DATA LOG VIEW FSBLOCK HOW ORIGIN
	step "$1: $6"
	start_apart "$2" "$3" "$7"
	case $6 in
	resumed) go_on_apart ;;
	*)	begin_apart ;;
	esac
	case $6 in
	whole)	whole_life; forget_loaded ;;
	resumed) forget_loaded ;;
	full)	fill_the_store ;;
	cut)	work 2 15; work 4 10; mark commit; mark committed ;;
	esac
	step "$(dmsetup status o)"
	umount /mnt
	stop i o store
}

modprobe -a dm-log-writes dm-delay dm-blksnap virtio_scsi sd_mod
for r in "$@"; do
	IFS=: read -ra words <<<"$r"
	words[1]=$(device "${words[1]}")
	case ${#words[@]} in
	7)	record_apart "${words[@]}" ;;
	*)	record "${words[@]}" ;;
	esac
done
