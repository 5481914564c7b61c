#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the guest: a whole life of a checkpoint on ext4, recorded below bow.
#
#   record.sh NAME:DATA:LOG:VIEW:FSBLOCK:HOW...
#
#   ext4 on bow on all of DATA but its last 4 KiB, dm-log-writes on DATA, to LOG
#   HOW   frozen: the filesystem is frozen during the commit, and what is to be
#                 read just before it goes to VIEW
#         loaded: writers go on during the commit
#         cut:    a short one, to be cut anywhere before its end
#         resumed: DATA is such a cut one. Resumed, mounted, trimmed, reclaimed,
#                 used; then as frozen
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

stop() {
	dmsetup remove --retry bow
	dmsetup remove --retry lower
	dmsetup remove --retry lw
}

seed=${SEED:-1}
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

# ext4 has little left but what bow uses: a file of blocks that were never written,
# as long as may be, and then data here and there in it.
collide() { # FSBLOCK
	local place claimed=0

	fallocate -l $(($(df --output=avail -k /mnt | tail -n 1) - 1000))k /mnt/grown
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
	mke2fs -q -F -t ext4 -b "$1" -N 512 \
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
	stop
}

modprobe -a dm-log-writes virtio_scsi sd_mod
for r in "$@"; do
	IFS=: read -ra words <<<"$r"
	record "${words[@]}"
done
