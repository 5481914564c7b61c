#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Snapshots around a backup program: restic, borg, or any.

# shellcheck source=tests/contrib/lib.sh
. "$(dirname "$0")/lib.sh"
stub blksnap mount umount blkid restic borg mkdir
rm stubs/mkdir
backup() { "$contrib/backup/blksnap-backup" "$@"; }
calls() # without the process that is in names
{
	sed 's/backup-[0-9]*/NAME/g; s/increment-[0-9]*/NAME/g' log >log.new
	mv log.new log
	called "$@"
}

blkid_SAYS=ext4 exits 0 "restic" backup data /data/store "$PWD/image" restic backup "$PWD/image"
calls "blksnap take --name NAME --store /data/store --size 1G data
blkid -o value -s TYPE /dev/mapper/data-NAME
mount -o ro /dev/mapper/data-NAME $PWD/image
restic backup $PWD/image
umount $PWD/image
blksnap remove NAME" "take, mount, back up, unmount, remove"
BLKSNAP_SIZE=20G blkid_SAYS=xfs exits 0 "borg, xfs" backup data /data/store "$PWD/image" \
	borg create repo::x "$PWD/image"
says log '^mount -o ro,nouuid ' "xfs is mounted beside itself"
says log '^blksnap take .* --size 20G data$' "the size of the store"
: >log
restic_STATUS=3 exits 3 "restic fails: its status" backup data /s "$PWD/image" restic
calls "blksnap take --name NAME --store /s --size 1G data
blkid -o value -s TYPE /dev/mapper/data-NAME
mount -o ro /dev/mapper/data-NAME $PWD/image
restic
umount $PWD/image
blksnap remove NAME" "and nothing is left"
blksnap_STATUS=16 exits 1 "no snapshot" backup data /s "$PWD/image" restic
calls "blksnap take --name NAME --store /s --size 1G data" "nothing more is done"
mount_STATUS=32 exits 1 "it cannot be mounted" backup data /s "$PWD/image" restic
! grep -q '^restic\|^umount' log
ok $? "restic is not run"
says log '^blksnap remove' "the snapshot goes"
: >log
umount_STATUS=32 exits 1 "it cannot be unmounted: that is told" backup data /s "$PWD/image" restic
exits 2 "usage" backup data

# ---- increments -------------------------------------------------------------------------

: >log
cat >stubs/blksnap <<'END'
#!/bin/sh
echo "blksnap $*" >>"$LOG"
for last; do :; done
case $* in
"export --quiet --since"*)
	[ "${SINCE-0}" = 0 ] || exit "$SINCE"
	: >"$last" ;;
"export --quiet"*)
	echo new >"$last"
	echo '{ "version": 1, "id": "id-1", "size_bytes": 4096 }' >"$last.blksnap" ;;
esac
END
increment() { "$contrib/backup/blksnap-increment" "$@"; }
exits 0 "a full image" increment data /dev/sdx target
calls "blksnap take --name NAME --store /dev/sdx data
blksnap export --quiet data-NAME target.new
blksnap remove NAME" "is made"
is "$(cat target)" new "and has its name"
exits 0 "an increment" increment data /dev/sdx target
calls "blksnap take --name NAME --store /dev/sdx data
blksnap export --quiet --since id-1 data-NAME target.increment
blksnap apply target.increment target
blksnap remove NAME" "is folded in"
is "$(find . -name 'target*' | sort | tr '\n' ' ')" "./target ./target.blksnap " "nothing is left"
SINCE=1 exits 0 "it is not known what has changed" increment data /dev/sdx target
calls "blksnap take --name NAME --store /dev/sdx data
blksnap export --quiet --since id-1 data-NAME target.increment
blksnap export --quiet data-NAME target.new
blksnap remove NAME" "a full image again"
SINCE=8 exits 8 "an error" increment data /dev/sdx target
says log '^blksnap remove' "the snapshot goes"

# What the stubs took, the real tool knows.
for c in take remove export apply; do
	exits 0 "blksnap $c" "$BLKSNAP" $c --help
	grep -o -- ' --[a-z-]*' out | sort -u >"options-$c"
done
for o in take:--name take:--store take:--size export:--quiet export:--since; do
	grep -q -- "^ ${o#*:}$" "options-${o%%:*}"
	ok $? "blksnap ${o%%:*} ${o#*:}"
done
finish
