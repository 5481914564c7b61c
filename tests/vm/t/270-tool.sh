#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# The tool's manners on real devices: what it refuses, what it says, how it ends,
# and that what is meant for programs can be read by them.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

carve raw 48M
raw=/dev/mapper/raw
make_fs ext4 $raw
number=$(dmsetup info -c --noheadings --separator : -o major,minor raw)

step "create: what it refuses"
mount $raw $mnt
exits 16 bow create x $raw
says "mounted on $mnt"
umount $mnt
dmsetup create above --table "0 2048 linear $raw 0"
exits 16 bow create x $raw
says 'above'
dmsetup remove above
exits 2 bow create x
exits 2 bow create --block-size 5000 x $raw
exits 2 bow create --block-size 2M x $raw
exits 2 bow create --on-full perhaps x $raw
exits 2 bow create --low-water many x $raw
exits 2 bow create a/b $raw
exits 8 bow create x /dev/nowhere
says 'No such file'
truncate -s 32M $work/file
exits 2 bow create x $work/file
says 'losetup'
exits 16 bow create --resume x $raw
says 'no log'
! dmsetup info x >/dev/null 2>&1 || die "it made a device"

step "create: dry, then wet"
exits 0 bow create --dry-run --on-full hold --low-water 9 --block-size 8K x $raw
says "would create x: 0 98304 bow $number 6 block_size 8192 on_full hold low_water 9"
! dmsetup info x >/dev/null 2>&1 || die "dry, but it made a device"
bow create --json --on-full hold --low-water 9 x $raw | jq -e \
	'.version == 1 and .name == "x" and .sectors == 98304 and .dry_run == false' >/dev/null
[ "$(dmsetup table x)" = "0 98304 bow $number 4 on_full hold low_water 9" ] ||
	die "table: $(dmsetup table x)"
[[ $(dmsetup info -c --noheadings -o uuid x) =~ ^BOW-[0-9a-f-]{36}$ ]] ||
	die "uuid: $(dmsetup info -c --noheadings -o uuid x)"
exits 16 bow create x $raw
exits 16 bow create y $raw
exits 16 bow restore $raw
says 'held by the dm device x'
exits 16 bow check $raw
exits 16 bow check /dev/mapper/x
says 'live bow device'

step "trim, checkpoint, status"
exits 16 bow checkpoint x
says "bow trim x"
exits 16 bow trim raw
says 'not a bow device'
exits 16 bow trim nobody
exits 16 bow trim /proc
exits 2 bow trim
exits 2 bow checkpoint x y
exits 0 bow commit x
says 'nothing to commit'
mount /dev/mapper/x $mnt
exits 0 bow trim --dry-run --json x
jq -e '.mountpoint == "'$mnt'" and .filesystem == "ext4"' <<<"$out" >/dev/null
field_is x 4 0 || die "a dry trim collected something"
exits 16 bow trim --reclaim x
exits 0 bow trim /dev/mapper/x
dmsetup suspend x
exits 16 bow checkpoint x
says 'suspended'
exits 16 bow trim x
dmsetup resume x
exits 0 bow checkpoint --dry-run x
field_is x 1 trim || die "a dry checkpoint is one"
exits 0 bow checkpoint --json x
jq -e '.state == "checkpoint" and .free_blocks > 0 and .suspended_ms > 0' <<<"$out" >/dev/null
exits 16 bow checkpoint x
says 'already'
fill $mnt
sync -f $mnt
exits 0 bow status
says '^x +[^ ]+ +checkpoint +rw +48'
exits 0 bow status --json
jq -e --arg n "$number" '.version == 1 and (.devices | length) == 1 and (.devices[0] |
	.name == "x" and (.uuid | startswith("BOW-")) and .lower == $n and
	.state == "checkpoint" and .mode == "rw" and .on_full == "hold" and
	.suspended == false and .open_count > 0 and .size_bytes == 50331648 and
	.block_bytes == 4096 and .total_blocks == 12288 and .backup_blocks > 0 and
	.free_blocks > 0 and .loose_blocks > 0 and .changed_blocks > 0 and
	.log_blocks > 0 and .flushes > 0 and .groups > 0)' <<<"$out" >/dev/null || die "$out"
exits 16 bow status nobody
exits 16 bow status raw
exits 2 bow status x y

step "remove"
exits 16 bow remove x
says 'mounted'
exits 16 bow remove raw
exec 5<$mnt
umount -l $mnt
exits 16 bow remove x
says 'open'
exec 5<&-
unused() { [ "$(dmsetup info -c --noheadings -o open x)" = 0 ]; }
until_true unused
exits 0 bow remove --dry-run x
dmsetup info x >/dev/null || die "a dry remove removed it"
exits 0 bow remove x
says 'the checkpoint stays'
exits 16 bow remove x

step "a live log"
exits 16 bow create x $raw
says 'bow restore'
says 'bow commit'
says 'bow create --resume'
exits 16 bow create --resume --block-size 64K x $raw
! dmsetup create x --table "0 98304 bow $raw" 2>/dev/null || die "loaded over a live log"
dmsetup remove x 2>/dev/null || :
exits 1 bow check --json $raw
jq -e '.version == 1 and .verdict != null and .status == 1 and .error == null and
	(.log | .state == "checkpoint" and .block_bytes == 4096 and .device_bytes == 50331648 and
	.hidden_blocks == 3 and .backups > 0 and .backup_bytes > 0 and .free_bytes > 0)' \
	<<<"$out" >/dev/null || die "$out"
exits 1 bow check --quiet $raw
[ -z "$out" ] || die "not quiet: $out"
exits 1 bow dump $raw
says 'valid'
exits 1 bow dump --json $raw
jq -e '.version == 1 and ([.. | objects | select(.kind? == "backup")] | length > 0) and
	([.. | objects | select(.kind? == "free")] | length > 0)' <<<"$out" >/dev/null || die "no records"
exits 1 bow restore --dry-run --json $raw
jq -e '.dry_run == true and .action == "rolled-back"' <<<"$out" >/dev/null || die "$out"
exits 1 bow check $raw
dd if=$raw of=$work/image bs=1M status=none
exits 1 bow check $work/image

step "the wrong size"
dd if=$raw of=$work/small bs=1M count=40 status=none
exits 4 bow check $work/small
exits 4 bow restore $work/small
says 'size'
cmp -n 41943040 $work/small $work/image || die "a refused restore wrote"
rm $work/small
dmsetup create part --table "0 65536 linear $raw 0"
exits 4 bow restore /dev/mapper/part
exits 4 bow create --resume x /dev/mapper/part
! dmsetup create x --table "0 65536 bow /dev/mapper/part 1 resume" 2>/dev/null ||
	die "resumed on a part of the device"
dmsetup remove x 2>/dev/null || :
dmsetup remove part
cmp $raw $work/image || die "somebody wrote"

step "a damaged log: nothing written, until asked for"
exits 1 bow dump --json $raw
victim=$(jq '[.. | objects | select(.kind? == "backup" and .dest? > 200)][0].dest' <<<"$out")
dd if=/dev/urandom of=$work/image bs=512 seek="$victim" count=1 conv=notrunc status=none
cp $work/image $work/damaged
exits 4 bow check $work/image
exits 4 bow restore $work/image
says 'roll-forward'
exits 4 bow commit $work/image
cmp $work/image $work/damaged || die "a refused restore wrote"
exits 1 bow restore --roll-forward $work/image
exits 0 bow check $work/image
check_fs ext4 $work/image

step "commit of a device not in use"
exits 0 bow commit --dry-run $raw
exits 1 bow check $raw
exits 0 bow commit --json $raw
jq -e '.action == "committed"' <<<"$out" >/dev/null || die "$out"
exits 0 bow commit $raw
says 'nothing to commit'
exits 0 bow check --json $raw
jq -e '.status == 0 and .log == null' <<<"$out" >/dev/null || die "$out"
exits 0 bow dump $raw
exits 0 bow restore $raw
check_fs ext4 $raw

step "usage"
exits 2 bow
exits 2 bow perhaps
exits 2 bow check
exits 2 bow restore --perhaps $raw
exits 8 bow restore /dev/nowhere
for c in create trim checkpoint commit remove status restore check dump; do
	exits 0 bow $c --help
	says "Usage: bow $c"
	exits 0 bow $c --version
done
