#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Block 0 is lost: which logs are found, which are used, and which never.

# shellcheck disable=SC2016

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# lose [SHAPE]...: an image whose block 0 is zero; "before" has no block 0 either.
lose()
{
	log_with "$@"
	slot1=$(look_up '$d->{slots}[0]{header}{slot1}')
	uuid=$(look_up '$d->{slots}[0]{header}{uuid}')
	dd if=/dev/zero of=image bs=4096 count=1 conv=notrunc status=none
	cp image before
}

# not_used STATUS WHAT REASON [OPTION]...: neither check nor restore uses it.
not_used()
{
	local want=$1 what=$2 why=$3
	shift 3
	exits "$want" "$what: check --scan" "$BOW" check --scan image
	exits "$want" "$what: restore --scan $*" "$BOW" restore --scan "$@" image
	says err "$why" "$what: restore says why"
	is_untouched "$what"
}

# set_word SECTOR OFFSET VALUE: 32 bits in a header of "image", checksum made good.
set_word()
{
	perl -e 'my ($at, $off, $val) = @ARGV;
		open(my $f, "+<", "image") or die;
		seek($f, $at * 512, 0); read($f, my $h, 512);
		substr($h, $off, 4) = pack("V", $val);
		substr($h, 12, 4) = pack("V", 0);
		my $crc = 0xffffffff;
		for my $b (unpack("C*", $h)) {
			$crc ^= $b;
			$crc = $crc & 1 ? $crc >> 1 ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
		}
		substr($h, 12, 4) = pack("V", ~$crc & 0xffffffff);
		seek($f, $at * 512, 0); print $f $h;' "$@"
}

shapes=(
	"seed=2"
	"seed=3 writes=0"
	"seed=4 block-size=65536 blocks=300"
	"seed=5 block-size=1048576 blocks=60 writes=30"
	"seed=6 blocks=8192 writes=3000"
	"seed=7 blocks=2048 writes=900 failing=1"
	"seed=8 cut=1"
)
for shape in "${shapes[@]}"; do
	# shellcheck disable=SC2086
	lose $shape last=1
	# Where slot 1 is in the last 16 MiB it is seen without a scan.
	if [[ $shape != *1048576* ]]; then
		exits 16 "$shape: restore does not say that there is no log" \
			"$BOW" restore image
		says err 'restore --scan' "$shape: the remedy is named"
		exits 16 "$shape: nor does check" "$BOW" check image
		exits 16 "$shape: nor does commit" "$BOW" commit image
	fi
	not_used 16 "$shape" '--force-incomplete'
	exits 1 "$shape: dump --scan" "$BOW" dump --scan image
	exits 1 "$shape: dry run" "$BOW" restore --scan --force-incomplete --dry-run image
	is_untouched "$shape: dry run"
	exits 1 "$shape: restore --scan --force-incomplete" \
		"$BOW" restore --scan --force-incomplete image
	is_original "$shape"
	exits 0 "$shape: then there is no log" "$BOW" restore image
	cp before image
	exits 1 "$shape: roll forward" \
		"$BOW" restore --scan --force-incomplete --roll-forward image
	is_live "$shape"
	exits 0 "$shape: then there is no log either" "$BOW" check image
done

# What is printed.
lose seed=2 last=1
exits 16 "check --scan --json" "$BOW" check --scan --json image
json out '@{$d->{logs}} == 1 && $d->{verdict} eq "not-used" && $d->{status} == 16' "one log"
json out '$d->{logs}[0]{uuid} eq "'"$uuid"'" && $d->{logs}[0]{slot1} == '"$slot1" "the one"
json out '$d->{logs}[0]{verdict} eq "incomplete" && $d->{logs}[0]{maybe_old} && !$d->{logs}[0]{hidden_written}' "what is wrong"
json out '$d->{logs}[0]{time} == 1700000000 && $d->{logs}[0]{block_bytes} == 4096' "its facts"
exits 16 "restore --scan --json" "$BOW" restore --scan --json image
json out '$d->{action} eq "refused" && !defined $d->{log} && @{$d->{logs}} == 1' "refused"
exits 1 "restore --scan --json, forced" "$BOW" restore --scan --force-incomplete --json image
json out '$d->{action} eq "rolled-back" && $d->{log}{uuid} eq "'"$uuid"'"' "rolled back"
cp before image
exits 1 "dump --scan --json" "$BOW" dump --scan --json image
json out '$d->{log}{uuid} eq "'"$uuid"'" && @{$d->{logs}} == 1 && @{$d->{pages}}' "dump has the pages"
exits 16 "a uuid that is not there" "$BOW" restore --scan --force-incomplete \
	--uuid 00000000-1111-2222-3333-444444444444 image
is_untouched "another uuid"
exits 1 "the uuid that is there" "$BOW" restore --scan --force-incomplete --uuid "$uuid" image
is_original "by uuid"

# Not needed where block 0 is good.
log_with seed=2
exits 1 "--scan with block 0 in order" "$BOW" restore --scan image
is_original "block 0 in order"

# Cut at every write, run again with --scan and without.
lose seed=2 blocks=200 writes=60 last=1
for how in restore 'restore --roll-forward'; do
	bad=0
	for ((n = 1; n < 1000; n++)); do
		cp before image
		# shellcheck disable=SC2086
		"$BOW" $how --scan --force-incomplete --stop-after $n image >out 2>err
		[ $? -eq 8 ] || break
		if [ $((n % 2)) -eq 0 ] && "$BOW" check --quiet image 2>/dev/null; then
			:	# done, said too late
		elif [ $((n % 2)) -eq 0 ] && [ $n -gt 2 ]; then
			"$BOW" restore image >out 2>err
		else
			# shellcheck disable=SC2086
			"$BOW" $how --scan --force-incomplete image >out 2>err
		fi
		which=original
		[ "$how" = restore ] || which=live
		"$make_log" compare . $which >>out 2>>err || {
			echo "# cut after write $n"
			bad=1
			break
		}
	done
	# The header is back after two writes: it must not look like a live log.
	cp before image
	# shellcheck disable=SC2086
	"$BOW" $how --scan --force-incomplete --stop-after 2 image >out 2>err
	"$BOW" check --json image >out 2>err
	json out '$d->{log}{state} ne "checkpoint"' "$how --scan: nobody resumes it"
	ok $bad "$how --scan: cut after each of its writes"
	[ $n -gt 6 ] && [ $n -lt 1000 ]
	ok $? "$how --scan: there were writes to cut at ($((n - 1)))"
done

# The header is damaged, not gone.
log_with seed=2 last=1
poke image 100 8
cp image before
exits 4 "damaged header" "$BOW" restore image
says err 'restore --scan' "damaged header: one remedy is named"
says err 'discard-log' "damaged header: and another one"
exits 1 "damaged header: restore --scan" "$BOW" restore --scan --force-incomplete image
is_original "damaged header"

PATH=$PATH:/usr/sbin:/sbin

# What e2fsck leaves: a superblock in block 0, behind a header that is whole.
# There the newest records may have been: not to be taken for a torn write.
truncate -s 3M fs
mkfs.ext4 -q -F -b 4096 fs 2>/dev/null
log_with seed=1 writes=61 run=1 last=1
dd if=fs of=image bs=1024 skip=1 seek=1 count=1 conv=notrunc status=none
exits 1 "superblock in block 0, no group missing" "$BOW" restore image
is_original "superblock in block 0, no group missing"
refused=0
for ((n = 1; n <= 12; n++)); do
	log_with seed=$n writes=61 run=1
	dd if=fs of=image bs=1024 skip=1 seek=1 count=1 conv=notrunc status=none
	cp image before
	"$BOW" restore image >out 2>err
	status=$?
	if [ $status -eq 4 ] && cmp -s image before &&
	   grep -q 'overwritten behind its header.*nothing was written' err &&
	   grep -q 'restore --scan' err; then
		refused=$((refused + 1))
		last=$n
	elif [ $status -ne 1 ] || ! "$make_log" compare . original >out 2>err; then
		break
	fi
done
[ $n -eq 13 ] && [ $refused -gt 0 ]
ok $? "superblock in block 0: refused, or bit for bit ($refused refused)"
log_with seed="$last" writes=61 run=1
dd if=fs of=image bs=1024 skip=1 seek=1 count=1 conv=notrunc status=none
exits 4 "superblock in block 0: check" "$BOW" check image
exits 16 "superblock in block 0: check --scan" "$BOW" check --scan image
exits 16 "superblock in block 0: restore --scan" "$BOW" restore --scan image
says err 'newer page' "superblock in block 0: says why"

# What mkfs leaves: in block 0 alone; in hidden blocks too; everywhere.
truncate -s 3M fs
mkfs.ext4 -q -F -b 4096 fs 2>/dev/null
lose seed=2 blocks=768 tail=0 last=1
dd if=fs of=image bs=4096 count=1 conv=notrunc status=none
cp image before
not_used 16 "block 0 of an ext4" 'newer page'
exits 1 "block 0 of an ext4: forced" "$BOW" restore --scan --force-incomplete image
is_original "block 0 of an ext4"
cp before image
dd if=fs of=image bs=4096 count=2 conv=notrunc status=none
cp image before
not_used 16 "two blocks of an ext4" 'more blocks than block 0'
cp before image
cp image ext4
mkfs.ext4 -q -F -b 4096 -E nodiscard ext4 2>/dev/null
mv ext4 image
cp image before
"$BOW" restore --scan image >out 2>err
status=$?
[ $status -eq 4 ] || [ $status -eq 16 ]
ok $? "mkfs.ext4: restore --scan refuses ($status)"
is_untouched "mkfs.ext4"

# Ended in due form: never again, whoever insists.
for how in commit restore; do
	log_with seed=2 last=1
	uuid=$(look_up '$d->{slots}[0]{header}{uuid}')
	slot1=$(look_up '$d->{slots}[0]{header}{slot1}')
	"$BOW" $how image >out 2>err
	cp image ended
	exits 0 "after a $how: no log" "$BOW" check image
	dd if=/dev/zero of=image bs=4096 count=1 conv=notrunc status=none
	cp image before
	exits 0 "after a $how, block 0 lost: plain restore sees nothing" "$BOW" restore image
	not_used 16 "after a $how" 'block 0 may be newer' --force-incomplete --uuid "$uuid"
	# Its slot 1 may be used for something else by now.
	poke image $((slot1 * 512)) 512
	cp image before
	not_used 16 "after a $how, without slot 1" 'ended long ago' --force-incomplete
done

# A page that is good in every respect, and is not slot 1.
lose seed=2 last=1
set_word "$slot1" 16 0
cp image before
exits 0 "without the mark: nothing to be seen at a glance" "$BOW" restore image
not_used 16 "without the mark" 'slot 1 is not there' --force-incomplete
lose seed=2 last=1
dd if=image of=image bs=512 count=8 skip="$slot1" seek=$((slot1 - 8)) conv=notrunc status=none
poke image $((slot1 * 512)) 512
cp image before
not_used 16 "slot 1, copied elsewhere" 'slot 1 is not there' --force-incomplete

# Its header is damaged: that is not nothing.
lose seed=2 last=1
poke image $((slot1 * 512 + 100)) 4
cp image before
exits 16 "damaged slot 1" "$BOW" restore --scan --force-incomplete image
says err "damaged header: 1, the first one at sector $slot1" \
	"damaged slot 1: it is told"
is_untouched "damaged slot 1"

# Two that pass for it: somebody plays tricks.
lose seed=2 last=1
dd if=image of=image bs=512 count=8 skip="$slot1" seek=$((slot1 - 8)) conv=notrunc status=none
set_word $((slot1 - 8)) 88 $((slot1 - 8))
cp image before
not_used 16 "two slots 1" 'slot 1' --force-incomplete

# Interrupted: block 0 may have been finished already.
for state in committing restoring; do
	lose seed=20 state=$state writes=200
	not_used 16 "$state" 'block 0 may be newer' --force-incomplete
done

# One that ended and one that is live.
lose seed=5 old=committed blocks=2048 last=1
exits 16 "old and new" "$BOW" check --scan --json image
json out 'join(" ", sort map { $_->{verdict} } @{$d->{logs}}) eq "ended incomplete"' \
	"old and new: one has ended"
exits 1 "old and new: restore" "$BOW" restore --scan --force-incomplete image
is_original "old and new"

# Two that may be live: mkfs does not end a log.
lose seed=5 old=abandoned blocks=2048 last=1
exits 16 "two logs: restore asks which" "$BOW" restore --scan --force-incomplete image
says err '--uuid' "two logs: says how"
is_untouched "two logs"
exits 16 "two logs: check" "$BOW" check --scan --json image
json out '@{$d->{logs}} == 2 && 1 == grep { $_->{outdated} } @{$d->{logs}}' \
	"two logs: the older one is outdated"
old=$("$BOW" check --scan --json image 2>err |
	perl -MJSON::PP -e 'local $/; my $d = decode_json(<STDIN>);
		print map { $_->{uuid} } grep { $_->{outdated} } @{$d->{logs}}')
exits 16 "two logs: the older one" "$BOW" restore --scan --uuid "$old" image
says err 'younger checkpoint' "two logs: says what is wrong with it"
exits 1 "two logs: the younger one" \
	"$BOW" restore --scan --force-incomplete --uuid "$uuid" image
is_original "two logs"

# Of a device of another size.
lose seed=2 last=1
truncate -s +64K image
cp image before
"$BOW" check --scan --json image >out 2>err
json out '$d->{logs}[0]{verdict} eq "wrong-size"' "grown: verdict"
not_used 4 "grown" 'another size' --force-incomplete
lose seed=2 last=1 tail=0 blocks=513
truncate -s -4096 image
cp image before
not_used 4 "shrunk" 'another size' --force-incomplete

# A page that the chain needs is gone.
log_with seed=3 blocks=4096 writes=600 last=1
sealed=$(look_up '$d->{pages}[2]{sector}')
poke image $((sealed * 512 + 700)) 8
poke image 0 512
cp image before
not_used 4 "sealed page" 'predecessor page is missing' --force-incomplete

# Nothing there.
head -c 3000000 /dev/urandom >image
cp image before
exits 0 "nothing: check --scan" "$BOW" check --scan image
exits 0 "nothing: restore --scan" "$BOW" restore --scan --force-incomplete image
is_untouched "nothing"
exits 0 "nothing: dump --scan" "$BOW" dump --scan image
truncate -s 0 image
exits 0 "empty: check --scan" "$BOW" check --scan image
truncate -s 100 image
exits 0 "less than a page: restore --scan" "$BOW" restore --scan image
if truncate -s 16T image 2>/dev/null; then
	exits 0 "16 TiB of nothing: check" "$BOW" check image
	exits 0 "16 TiB of nothing: check --scan" "$BOW" check --scan image
fi
rm -f image

# Giving up.
log_with seed=2
exits 16 "discard: not a good log" "$BOW" restore --discard-log image
is_untouched "discard: good log"
poke image 100 8
cp image before
exits 1 "discard: dry run" "$BOW" restore --discard-log --dry-run image
is_untouched "discard: dry run"
exits 1 "discard: damaged header" "$BOW" restore --discard-log image
exits 0 "discard: no log" "$BOW" check image
exits 16 "discard: nothing of use to be found" \
	"$BOW" restore --scan --force-incomplete image
[ "$(cmp -l before image | wc -l)" -le 1024 ]
ok $? "discard: two sectors are written"
lose seed=2
exits 1 "discard: lost block 0" "$BOW" restore --discard-log --json image
json out '$d->{erased} == 1' "discard: slot 1 alone"
exits 0 "discard: restore has nothing to do" "$BOW" restore image
exits 0 "discard: nothing left" "$BOW" restore --discard-log image
log_with seed=2
# An unknown format version with a good checksum: somebody else can read it.
set_word 0 8 2
cp image before
exits 16 "discard: not a log of a newer version" "$BOW" restore --discard-log image
is_untouched "discard: newer version"

# Options.
exits 2 "--uuid alone" "$BOW" restore --uuid "$uuid" image
exits 2 "a bad uuid" "$BOW" restore --scan --uuid frobnicate image
exits 2 "--force-incomplete alone" "$BOW" restore --force-incomplete image
exits 2 "--discard-log with --roll-forward" "$BOW" restore --discard-log --roll-forward image

finish
