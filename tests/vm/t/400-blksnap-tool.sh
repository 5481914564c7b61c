#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 900
# shellcheck disable=SC2086,SC2154,SC2251
#
# The tool blksnap: devices attached, mounted and busy or new; snapshots of all of
# them together, listed and removed; and what it refuses.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

carve raw_a 8M
carve raw_b 8M
make_lv
old_table=$(dmsetup table lv)

step "attach: what it refuses"
exits 16 blksnap attach nobody
exits 16 blksnap attach --create x /dev/mapper/lv
says "mounted on $mnt"
exits 16 blksnap attach --create raw_a /dev/mapper/raw_b
says 'already'
exits 8 blksnap attach --create x /dev/nowhere
exits 2 blksnap attach --create x $work
dmsetup create other --table "0 $(sectors $D_ODD) bow $D_ODD"
exits 16 blksnap attach other
says "target 'bow'"
dmsetup remove other
dmsetup suspend raw_a
exits 16 blksnap attach raw_a
says 'suspended'
dmsetup resume raw_a
exits 16 blksnap take --store $store raw_a
says 'blksnap attach raw_a'
exits 16 blksnap detach raw_a
# What is mounted as it is can become an origin after an unmount only.
make_fs ext4 $D_SMALL
mount $D_SMALL $image
for c in take attach; do
	option="--store $store"
	[ $c = take ] || option=
	exits 16 blksnap $c $option $D_SMALL
	says "$D_SMALL is mounted on $image, and no dm device: unmount it, 'blksnap attach --create <name> $D_SMALL', and mount /dev/mapper/<name> instead"
done
umount $image
exits 16 blksnap take --store $store $D_SMALL
says "$D_SMALL is no dm device: 'blksnap attach --create <name> $D_SMALL'"

step "attach --create"
exits 0 blksnap attach --dry-run --create a /dev/mapper/raw_a
not dmsetup info a 2>/dev/null
exits 0 blksnap attach --create a /dev/mapper/raw_a
says '^/dev/mapper/a$'
blksnap attach --json --create b /dev/mapper/raw_b | jq -e \
	'.version == 1 and .name == "b" and .created and .dry_run == false' >/dev/null
[[ $(uuid_of a) =~ ^BLKSNAP-ORIGIN-[0-9a-f-]{36}$ ]] || die "uuid: $(uuid_of a)"
[[ $(dmsetup table a) =~ ^0\ 16384\ blksnap-origin\ [0-9:]+$ ]] || die "table: $(dmsetup table a)"
exits 16 blksnap attach a
says 'already'

step "attach and detach, mounted and busy"
before=$(manifest $mnt)
mkdir $mnt/busy
touch $work/go
(	n=0
	while [ -e $work/go ]; do
		n=$((n + 1))
		head -c 300000 /dev/urandom >$work/busy.$((n % 2))
		dd if=$work/busy.$((n % 2)) of=$mnt/busy/$((n % 2)) bs=64k oflag=direct status=none
		cmp $work/busy.$((n % 2)) $mnt/busy/$((n % 2))
	done
	echo $n >$work/rounds
) &
writer=$!
for _ in 1 2; do
	exits 0 blksnap attach lv
	says 'attached over lv-real, suspended for'
	[[ $(dmsetup table lv) =~ ^0\ 98304\ blksnap-origin ]] || die "table: $(dmsetup table lv)"
	is "$(dmsetup table lv-real)" "$old_table" "the table below"
	[[ $(uuid_of lv-real) =~ ^BLKSNAP-REAL- ]] || die "uuid: $(uuid_of lv-real)"
	exits 0 blksnap detach --dry-run lv
	exits 0 blksnap detach lv
	is "$(dmsetup table lv)" "$old_table" "the table after detach"
	not dmsetup info lv-real 2>/dev/null
done
exits 0 blksnap attach --dry-run lv
is "$(dmsetup table lv)" "$old_table" "the table after a dry attach"
blksnap attach --json lv | jq -e '.lower == "lv-real" and .suspended_ms > 0' >/dev/null
rm $work/go
wait $writer || die "what was written while the table was swapped is wrong"
step "$(cat $work/rounds) rounds of the writer"
for n in "$mnt"/busy/?; do
	cmp $n $work/busy.${n##*/}
done
rm -r $mnt/busy
[ "$(manifest $mnt)" = "$before" ] || die "the mounted filesystem is not as it was"

step "one linear line over a whole device: nothing between"
dmsetup create whole --table "0 $(sectors $D_SMALL) linear $D_SMALL 0"
exits 0 blksnap attach whole
not dmsetup info whole-real 2>/dev/null
is "$(lower_of whole)" "$(lsblk -dnro MAJ:MIN $D_SMALL)" "the device below"

step "take: what it refuses"
exits 16 blksnap take --store $store a nobody
exits 2 blksnap take --store $store a /dev/mapper/a
exits 16 blksnap take --store $work/busy.1 a
says 'ext4, xfs or f2fs'
exits 8 blksnap take --store /dev/nowhere a
exits 16 blksnap take --store /dev/mapper/lv a
says "mounted on $mnt"
exits 16 blksnap take --store /dev/mapper/a a
says 'lies on a'
exits 16 blksnap take --store /dev/mapper/raw_a a
says 'held by the dm device a'
dmsetup create above --table "0 2048 linear /dev/mapper/b 0"
exits 16 blksnap take --store /dev/mapper/above a b
says 'lies on b'
dmsetup remove above
make_fs ext4 $store
exits 16 blksnap take --store $store a
says 'carries ext4.*--force'
exits 0 blksnap take --dry-run --force --store $store a
dmsetup suspend b
exits 16 blksnap take --force --store $store a b
says 'b is suspended'
dmsetup resume b
no_images
nothing_suspended

step "take, of raw, mounted and attached ones together"
head -c 8M /dev/urandom >$work/a
head -c 8M /dev/urandom >$work/b
dd if=$work/a of=/dev/mapper/a bs=1M oflag=direct status=none
exec 8<>/dev/mapper/b			# or closing it would write this out...
cp $work/b /dev/mapper/b		# ...which is the take's business
manifest $mnt >$work/before
exits 0 blksnap take --force -n one --block-size 16K --store $store a lv b
says '^one: taken of 3 device\(s\), suspended for [0-9.]+ ms$'
says '^/dev/mapper/lv-one$'
exec 8>&-
# A filesystem that was frozen needs no recovery.
dumpe2fs -h /dev/mapper/lv-one >$work/super 2>/dev/null
not grep -q needs_recovery $work/super
nothing_suspended
[[ $(uuid_of lv-one) =~ ^BLKSNAP-[0-9a-f-]{36}-[0-2]-one$ ]] || die "uuid: $(uuid_of lv-one)"
exits 16 blksnap take -n one --store $store a
says "there is a snapshot 'one' already"
exits 16 blksnap take -n two --block-size 64K --store $store a
says '16384'
exits 16 blksnap detach a
says 'blksnap remove --all a'
exits 16 blksnap detach lv
change $mnt
head -c 8M /dev/urandom >$work/a.2
dd if=$work/a.2 of=/dev/mapper/a bs=64k oflag=direct status=none
dd if=/dev/urandom of=/dev/mapper/b bs=4k count=300 seek=1001 oflag=direct status=none
cmp /dev/mapper/a-one $work/a
cmp /dev/mapper/b-one $work/b
manifest $mnt >$work/second
blksnap take --json -n two --store $store lv a | jq -e '.version == 1 and .snapshot == "two" and
	.suspended_ms > 0 and .dry_run == false and (.uuid | length) == 36 and
	([.images[] | .block_bytes == 16384] | all) and
	([.images[].name] | sort) == ["a-two", "lv-two"]' >/dev/null
change $mnt
dd if=/dev/urandom of=/dev/mapper/a bs=64k count=50 seek=7 oflag=direct status=none
mount /dev/mapper/lv-one $image
same $image $work/before
rm -r $image/tree
sync -f $image
exits 16 blksnap remove one
says "lv-one is mounted on $image"
umount $image
check_fs ext4 /dev/mapper/lv-one
mount /dev/mapper/lv-two $image
same $image $work/second
umount $image
for n in a-one:a a-two:a.2; do
	blockdev --flushbufs /dev/mapper/${n%:*}
	cmp /dev/mapper/${n%:*} $work/${n#*:}
done

step "list"
exits 0 blksnap list --json
jq -e '.version == 1 and ([.origins[].name] == ["a", "b", "lv", "whole"]) and
	(.without_origin | length) == 0 and
	(.origins[0] | .state == "active" and .block_bytes == 16384 and .copied_blocks > 0 and
		([.snapshots[].name] == ["a-one", "a-two"])) and
	.origins[3].state == "idle" and
	(.origins[2].snapshots[0] | .name == "lv-one" and .snapshot == "one" and
		(.uuid | length) == 36 and .state == "active" and .store_used_bytes > 0 and
		.store_bytes == 1073741824 and .kept_blocks > 0 and .private_blocks > 0)' \
	<<<"$out" >/dev/null || die "$out"
exits 0 blksnap list /dev/mapper/b
says '^NAME +STATE'
says '^b +active'
says 'b-one +active'
not grep -q a-one <<<"$out"
exits 16 blksnap list lv-one
exits 16 blksnap list nobody

step "remove, the older first, then by origin"
exits 16 blksnap remove three
exits 16 blksnap remove --all whole
exits 0 blksnap remove --dry-run one
says 'would remove lv-one'
exits 0 blksnap remove one
not dmsetup info a-one 2>/dev/null
blockdev --flushbufs /dev/mapper/a-two
cmp /dev/mapper/a-two $work/a.2
exits 0 blksnap remove lv-two
dmsetup info a-two >/dev/null || die "more than one image was removed"
exits 0 blksnap remove --all a
no_images
exits 0 blksnap list --json
jq -e '[.origins[].state == "idle"] | all' <<<"$out" >/dev/null || die "$out"

step "no copy of a superblock is left where it would be found"
make_fs ext4 /dev/mapper/whole
exits 0 blksnap take --store $store whole
says '^[0-9]{8}-[0-9]{6}: taken of 1 device'
dd if=/dev/zero of=/dev/mapper/whole bs=64k count=1 oflag=direct status=none
exits 0 blksnap remove --all whole
is "$(blkid -p -s TYPE -o value $store || :)" "" "what the store looks like"

# UML has none.
if [[ $VM_KERNEL == 6.* ]]; then
	step "a disk in memory as a store"
	modprobe brd rd_nr=1 rd_size=16384
	manifest $mnt >$work/before
	exits 0 blksnap take -n ram --store /dev/ram0 lv
	change $mnt
	mount -o ro /dev/mapper/lv-ram $image
	same $image $work/before
	umount $image
	[ "$(dmsetup status lv-ram | cut -d' ' -f5)" -gt 0 ] || die "nothing was kept"
	exits 0 blksnap remove ram
	rmmod brd
fi

step "an origin on an origin: the upper one is suspended first, in whatever order named"
exits 0 blksnap attach --create top /dev/mapper/b
make_fs ext4 /dev/mapper/top
mount /dev/mapper/top $image
cp /usr/bin/sed $image
exits 0 blksnap take -n stack --store $store b top
umount $image
check_fs ext4 /dev/mapper/top-stack
check_fs ext4 /dev/mapper/b-stack
exits 0 blksnap remove stack
exits 0 blksnap detach top
not dmsetup info top 2>/dev/null

step "detach"
exits 0 blksnap detach lv
is "$(dmsetup table lv)" "$old_table" "the table after all"
[ "$(uuid_of lv)" = "" ] || die "lv has got a uuid: $(uuid_of lv)"
not dmsetup info lv-real 2>/dev/null
exits 0 blksnap detach whole
is "$(dmsetup table whole)" "0 $(sectors $D_SMALL) linear $(lsblk -dnro MAJ:MIN $D_SMALL) 0"
exec 5</dev/mapper/a
exits 16 blksnap detach a
says 'open'
exec 5<&-
exits 0 blksnap detach a
exits 0 blksnap detach b
not dmsetup info b 2>/dev/null
manifest $mnt >$work/before
umount $mnt
check_fs ext4 /dev/mapper/lv
mount /dev/mapper/lv $mnt
same $mnt $work/before
