#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# timeout: 900
# shellcheck disable=SC2034,SC2086,SC2154,SC2251
#
# blksnap take and attach: all at one instant, or not at all, whoever fails, is
# told to stop or is killed half-way.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

carve raw_a 8M
carve raw_b 8M
make_lv
old_table=$(dmsetup table lv)
blksnap attach --create a /dev/mapper/raw_a
blksnap attach --create b /dev/mapper/raw_b
blksnap attach --create whole $D_SMALL
for o in c d e f g; do
	carve raw_$o 8M
	blksnap attach --create $o /dev/mapper/raw_$o
done

step "one instant: stamps go round the origins, no image has one without that before"
awk 'BEGIN {
	split("b c d e f g whole", more)
	for (n = 1; n < 8; n++)
		print "open -d -s /dev/mapper/" more[n]
	for (n = 0; n < 131072; n++)
		printf "file %d\npwrite -q -S 0x5a %d 512\n", n % 8, int(n / 8) * 512
}' | xfs_io -d -s /dev/mapper/a >/dev/null 2>$work/err &
writer=$!
writes_of() { awk '{ print $5 }' "$(stats "$1")"; }
wrote_more() { [ "$(writes_of whole)" -gt "$writes" ]; }
for n in 1 2 3 4; do
	writes=$(writes_of whole)
	until_true wrote_more
	exits 0 blksnap take -n s$n --block-size 4K --store $store whole d a b g f c e
done
kill -0 $writer || die "the writer was done before the last take: $(cat $work/err)"
kill $writer
wait $writer 2>/dev/null || :
head -c 8M /dev/zero | tr '\0' '\132' >$work/stamps
count_stamps() { # DEVICE: how many it has from the start on; it must have no others
	local n

	n=$({ cmp $work/stamps $1 || :; } | sed -n 's/.*differ: [a-z]* \([0-9]*\),.*/\1/p')
	n=$(((n - 1) / 512))
	cmp -i $((n * 512)) -n $((8388608 - n * 512)) $1 /dev/zero >&2 ||
		die "$1 has stamps behind number $n"
	echo $n
}
last=0
for n in 1 2 3 4; do
	counts=
	for o in a b c d e f g whole; do
		counts+=" $(count_stamps /dev/mapper/$o-s$n)"
	done
	step "s$n has$counts stamps"
	awk '{ for (i = 2; i <= NF; i++) if ($i > $(i - 1)) exit 1; exit $1 > $NF + 1 }' \
		<<<"$counts" || die "s$n: not one instant"
	w=${counts##* }
	[ $w -gt $last ] || die "s$n: nothing was written since the take before"
	last=$w
done
exits 0 blksnap remove s2 s4 s1 s3
no_images
for o in c d e f g; do
	exits 0 blksnap detach $o
done

blksnap attach lv
step "a take that fails leaves no trace"
mkfifo $work/gate
guarded() { pgrep blksnap-guardia >/dev/null; }
unguarded() { ! guarded; }
begin_take() { # WHERE
	blksnap take -n f --store $store --test-wait $1 a lv b <$work/gate >$work/out 2>&1 &
	tool=$!
	exec 7>$work/gate
}
end_take() { # WANTED STATUS
	local rc=0

	exec 7>&-
	wait $tool || rc=$?
	[ $rc = $1 ] || die "take gave $rc, not $1: $(cat $work/out)"
	out=$(cat $work/out)
	until_true unguarded
	nothing_suspended
	no_images
	dd if=/dev/urandom of=$mnt/after bs=4k count=4 conv=fsync status=none
}
b_table=$(dmsetup table b)
begin_take start
until_true guarded
dmsetup reload b --table "0 16384 linear $(lower_of b) 0"
dmsetup resume b
end_take 8
says 'cannot create b-f'
dmsetup reload b --table "$b_table"
dmsetup resume b

begin_take suspended
until_true is_suspended b
until_true is_suspended lv
dmsetup resume b
end_take 8
says 'b-f: cannot start the snapshot'
says 'no snapshot was taken'

step "one that cannot be suspended because another one is: neither stays so"
dmsetup create d1 --table "0 8192 linear $D3 0"
for n in 2 3 4; do
	dmsetup create d$n --table "0 8192 linear /dev/mapper/d$((n - 1)) 0"
done
exits 0 blksnap attach --create deep /dev/mapper/d4
blksnap take -n f --store $store --timeout 10 --test-wait prepared lv deep \
	<$work/gate >$work/out 2>&1 &
tool=$!
exec 7>$work/gate
until_true dm_exists deep-f
until_true dm_exists lv-f
# Freezing the filesystem on lv means to write to it, which waits from now on.
dmsetup suspend --nolockfs lv-real
echo >&7
until_true is_suspended deep
dd if=/dev/zero of=/dev/mapper/deep bs=4k count=1 oflag=direct status=none
kill -0 $tool || die "it was not held up: $(cat $work/out)"
dmsetup resume lv-real
end_take 8
says 'lv: cannot suspend: not all within 10 s'
exits 0 blksnap detach deep
dmsetup remove d4 d3 d2 d1

step "a signal before and after; killed while all are suspended"
begin_take prepared
until_true dm_exists b-f
kill -TERM $tool
end_take 143
begin_take acted
until_true is_suspended lv
kill -HUP $tool
end_take 129
for where in prepared suspended acted; do
	begin_take $where
	until_true dm_exists b-f
	[ $where = prepared ] || until_true is_suspended b
	kill -KILL $tool
	end_take 137
done

if [ "$VM_KERNEL" = 6.1 ]; then
	step "a filesystem that is frozen already"
	fsfreeze -f $mnt
	exits 8 blksnap take -n f --store $store a lv b
	fsfreeze -u $mnt
	says 'lv: cannot suspend'
	nothing_suspended
	no_images
fi

# UML has no f2fs.
if [[ $VM_KERNEL == 6.* ]]; then
	step "a filesystem that cannot be frozen any more"
	carve raw_h 64M
	blksnap attach --create h /dev/mapper/raw_h
	make_fs f2fs /dev/mapper/h
	mount -t f2fs /dev/mapper/h $image
	f2fs_io shutdown 2 $image >/dev/null
	exits 8 blksnap take -n f --store $store a h lv b
	says 'h: cannot suspend'
	says 'no snapshot was taken, of none of the origins'
	nothing_suspended
	no_images
	umount $image
	blksnap detach h
fi

step "killed while a table is swapped: done or not done, never half"
for where in prepared suspended; do
	blksnap detach --test-wait $where lv <$work/gate >$work/out 2>&1 &
	tool=$!
	exec 7>$work/gate
	until_true guarded
	[ $where = prepared ] || until_true is_suspended lv
	kill -KILL $tool
	exec 7>&-
	wait $tool 2>/dev/null || :
	until_true unguarded
	nothing_suspended
	if [ "$(dmsetup table lv)" = "$old_table" ]; then
		not dmsetup info lv-real 2>/dev/null
		exits 0 blksnap attach lv
	fi
	is "$(dmsetup table lv-real)" "$old_table" "the table below"
done

step "nobody has lost anything"
rm $mnt/after
umount $mnt
blksnap detach lv
check_fs ext4 /dev/mapper/lv
