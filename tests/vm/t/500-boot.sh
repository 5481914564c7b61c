#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# bow boot on real devices: two filesystems under one update, from boot to boot; the
# state is on a small disk of its own. A boot is a new boot id, and whatever a crash
# leaves: the dm devices are taken away as they are.
# kernels: 6.12
# timeout: 900

# shellcheck source=/dev/null
. /tests/t/2fs.inc

carve part1 40M
carve part2 32M
make_fs ext4 /dev/mapper/part1
make_fs ext4 /dev/mapper/part2
make_fs vfat $D_SMALL
mkdir -p $work/data $work/home $work/flash
conf=$work/conf
export BOW_BOOT_ID=$work/boot-id

cat >$conf <<END
set state	bow/state
set state_device $D_SMALL vfat
set system	command cat $work/system
set attempts	2
set mark_good	$work/hook good
set mark_bad	$work/hook bad
/dev/mapper/part1 data $work/data on_full=fail,low_water=10
/dev/mapper/part2 home $work/home defaults
END
cat >$work/hook <<END
#!/bin/sh
echo \$1 >>$work/marks
END
chmod +x $work/hook

boots=0
bow_boot() {
	bow boot "$@" --config $conf
}

system_is() {
	boots=$((boots + 1))
	echo "$1" >$work/system
	echo "boot-$boots" >$work/boot-id
	: >$work/marks
}

# boot SYSTEM [STATUS]: what comes before anything of a system runs
boot() {
	system_is $1
	exits ${2:-0} bow_boot activate
	mount /dev/mapper/data $work/data
	mount /dev/mapper/home $work/home
	exits ${2:-0} bow_boot protect
}

mounted() {
	grep " $1 " /proc/mounts >/dev/null
}

table_is() { # NAME WORD
	[ "$(dmsetup table "$1" | cut -d' ' -f3)" = "$2" ] || die "$1: $(dmsetup table "$1")"
}

# The machine stops: nothing is written out that was not.
crash() {
	local name

	for name in data home; do
		! mounted $work/$name || umount -l $work/$name
		! dm_exists $name || dm_remove $name
	done
	! mounted /run/bow/state || umount /run/bow/state
}

shut_down() {
	umount $work/data $work/home
	crash
}

# Little files, as there are many boots: overwritten, renamed, removed, made.
fill_some() { # DIRECTORY
	mkdir $1/tree
	(cd $1/tree && split -b 9000 /usr/bin/sed)
	head -c 300000 /dev/urandom >$1/noise
}

update() { # VERSION: and it is on the disk
	local d

	for d in $work/data $work/home; do
		dd if=/dev/urandom of=$d/noise bs=4k count=20 seek=9 conv=notrunc status=none
		head -c 50000 /dev/urandom >$d/new-$1
		mv $d/tree $d/tree-$1
		mkdir $d/tree
		cp $d/tree-$1/* $d/tree
		rm -r $d/tree-$1
		echo $1 >$d/tree/xaa
	done
	sync
}

remember() { # NAME: how everything is now
	manifest $work/data >$work/data.$1
	manifest $work/home >$work/home.$1
}

is_as() { # NAME
	same $work/data $work/data.$1
	same $work/home $work/home.$1
}

state() { # MEMBER: its exit status is about something else
	{ bow_boot status --json || :; } | jq -r ".$1"
}

verdict_is() {
	local got

	got=$(state verdict)
	is "$got" "$1" verdict
}

step "nothing is armed: linear"
boot A
table_is data linear
table_is home linear
says 'nothing to do'
not mounted /run/bow/state
fill_some $work/data
fill_some $work/home
remember old
exits 0 bow_boot status
exits 0 bow_boot arm --system B
exits 1 bow_boot status
says 'new system: B'
exits 0 bow_boot arm --system B		# again, and armed as before
shut_down

step "the old system once more: nothing begins"
boot A
table_is data linear
shut_down

step "the new system: a checkpoint, an update, a crash"
boot B
table_is data bow
table_is home bow
says 'checkpoint of 2 devices'
field_is data 1 checkpoint
field_is home 1 checkpoint
field_is data 13 fail
exits 3 bow_boot status
says '^home .*live +yes'
exits 16 bow_boot arm
exits 0 bow_boot protect		# is, already
says 'nothing to do'
update 1
remember new
crash

step "resumed, and once more activate"
boot B
field_is data 1 checkpoint
is_as new
verdict_is trial
exits 0 bow_boot activate
is "$(state attempts_left)" 0 "attempts left"
crash

step "no attempt is left: all goes back, the system is rejected"
boot B 32
is "$(cat $work/marks)" "bad
bad" marks
field_is data 1 checkpoint
is_as old
exits 7 bow_boot status
exits 16 bow_boot commit
says 'rejected'
update 2
crash

step "the old system: old data"
boot A
table_is data linear
is_as old
shut_down
check_fs ext4 /dev/mapper/part1
check_fs ext4 /dev/mapper/part2

step "the boot loader falls back; power goes after the first device"
boot A
exits 0 bow_boot arm --system B
shut_down
boot B
update 3
crash
system_is A
BOW_BOOT_STOP_AFTER=end exits 8 bow_boot activate
verdict_is rollback
system_is B
exits 0 bow_boot activate		# whatever boots: back it goes
mount /dev/mapper/data $work/data
mount /dev/mapper/home $work/home
is_as old
shut_down

step "commit, cut after each step"
for cut in good mark-good commit end; do
	boot A
	exits 0 bow_boot arm --system B
	remember old
	shut_down
	boot B
	update $cut
	remember new
	BOW_BOOT_STOP_AFTER=$cut exits 8 bow_boot commit
	crash
	case $cut in
	good|mark-good)
		boot B
		is_as new
		field_is data 1 checkpoint
		verdict_is good
		crash
		boot A			# by hand, or the boot loader: back
		is_as old
		table_is data linear
		shut_down
		boot B
		exits 0 bow_boot abort
		crash
		boot A ;;
	*)
		boot A			# there is no way back
		is_as new
		table_is data linear
		table_is home linear
		verdict_is idle ;;
	esac
	exits 0 bow_boot abort
	shut_down
done

step "commit in one go; the devices stay what they are until the next boot"
boot A
exits 0 bow_boot arm
says 'armed'
shut_down
boot B
update last
remember new
exits 0 bow_boot commit
says 'data: committed'
says 'home: committed'
is "$(cat $work/marks)" good marks
field_is data 1 committed
verdict_is idle
exits 0 bow_boot commit
is_as new
shut_down
boot B
is_as new
table_is data linear
shut_down
exits 0 bow check /dev/mapper/part1
exits 0 bow check /dev/mapper/part2

step "entering, and the power goes"
boot B
exits 0 bow_boot arm --system A
remember old
shut_down
for cut in entering checkpoint; do
	system_is A
	exits 0 bow_boot activate
	mount /dev/mapper/data $work/data
	mount /dev/mapper/home $work/home
	BOW_BOOT_STOP_AFTER=$cut exits 8 bow_boot protect
	crash
	verdict_is entering
	boot B
	is_as old
	table_is data linear
	verdict_is armed
	shut_down
done

step "a stale state file, and none at all"
mount $D_SMALL $work/flash
boot A
field_is data 1 checkpoint
cp $work/flash/bow/state $work/stale
exits 0 bow_boot commit
shut_down
boot A
exits 0 bow_boot arm --system B
shut_down
boot B
update stale
remember new
crash
for state in stale broken none; do
	for system in A B; do
		case $state in
		stale)	cp $work/stale $work/flash/bow/state ;;
		broken)	echo '{' >$work/flash/bow/state ;;
		none)	rm -f $work/flash/bow/state ;;
		esac
		system_is $system
		exits 0 bow_boot activate
		says 'does not know'
		mount /dev/mapper/data $work/data
		field_is data 1 checkpoint
		mount /dev/mapper/home $work/home
		is_as new
		exits 9 bow_boot status
		[ $state = none ] || exits 16 bow_boot commit
		field_is home 1 checkpoint
		shut_down
	done
done
rm -f $work/flash/bow/state

step "too little room: nothing begins"
exits 1 bow restore /dev/mapper/part1
exits 1 bow restore /dev/mapper/part2
boot A
exits 0 bow_boot arm --system B
# ext4 keeps some for itself otherwise, which is free as well.
echo 0 >"/sys/fs/ext4/dm-$(dmsetup info -c --noheadings -o minor home)/reserved_clusters"
dd if=/dev/zero of=$work/home/full bs=4k status=none 2>/dev/null || :
sync
remember old
shut_down
system_is B
exits 0 bow_boot activate
mount /dev/mapper/data $work/data
mount /dev/mapper/home $work/home
exits 16 bow_boot protect
says 'home: (too little free space|no free block)'
not field_is data 1 checkpoint
not field_is home 1 checkpoint
verdict_is armed
rm $work/home/full
exits 0 bow_boot protect
field_is home 1 checkpoint
exits 0 bow_boot commit
shut_down
umount $work/flash
