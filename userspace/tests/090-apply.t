#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# blksnap apply: what is applied to what, cuts, damage, and what it refuses.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"
export_file=$BOW_TESTS/export-file
id=01234567-89ab-cdef-0123-456789abcdef
size=$((1024 * 1024 + 512))

# Three states of a device: data everywhere; some of it changed, some zero; again.
head -c $size /dev/urandom >one
cp one two
dd if=/dev/urandom of=two bs=4k seek=10 count=8 conv=notrunc status=none
dd if=/dev/zero of=two bs=4k seek=64 count=64 conv=notrunc status=none
dd if=/dev/urandom of=two bs=4k seek=200 count=1 conv=notrunc status=none
cp two three
dd if=/dev/urandom of=three bs=4k seek=12 count=100 conv=notrunc status=none
"$export_file" one good block=4096 2>err || exit 1
"$export_file" two one-two old=one since=1 number=2 block=4096 2>err || exit 1
"$export_file" three two-three old=two since=2 number=3 block=4096 2>err || exit 1
"$export_file" three one-three old=one since=1 number=3 block=4096 2>err || exit 1

# flip FILE OFFSET: a bit of that byte
flip()
{
	perl -e 'open(my $f, "+<", $ARGV[0]) or die;
		seek($f, $ARGV[1], 0); read($f, my $byte, 1) or die;
		seek($f, $ARGV[1], 0); print $f chr(ord($byte) ^ 16);' "$1" "$2"
}

# full: image 1 again
anew()
{
	rm -f full full.*
	cp -p good full
	cp good.blksnap full.blksnap
	cp -p full before
	cp full.blksnap before.blksnap
}

is_state()
{
	cmp full "$1" >out 2>err && grep -q "\"id\": *\"$id:$2\"" full.blksnap &&
		! grep -q applying full.blksnap
	ok $? "$3: it is image $2, bit for bit, and says so"
}

is_as_before()
{
	cmp full before >out 2>err && cmp full.blksnap before.blksnap >>out 2>>err &&
		is_older full
	ok $? "$1: nothing was written"
}

is_older()
{
	[ "$(stat -c %y full)" = "$(stat -c %y before)" ]
}

anew
exits 0 "a dry run" "$BLKSNAP" apply --dry-run one-two full
says out 'would be' "it says what would be"
is_as_before "a dry run"
exits 0 "apply" "$BLKSNAP" apply one-two full
says out "full is $id:2 now" "it says so"
is_state two 2 "apply"
[ "$(stat -c %b full)" -lt "$(stat -c %b before)" ]
ok $? "zeroes are holes"
exits 0 "once more" "$BLKSNAP" apply --json one-two full
json out '$d->{action} eq "none"' "nothing is to be done"
is_state two 2 "once more"
exits 0 "the next one" "$BLKSNAP" apply --json two-three full
json out '$d->{action} eq "apply" && $d->{id} =~ /:3$/ && $d->{since} =~ /:2$/ &&
	$d->{data_bytes} == 409600 && $d->{zero_bytes} == 0 && $d->{size_bytes} == 1049088' "the report"
is_state three 3 "the next one"
exits 16 "one that is older" "$BLKSNAP" apply one-two full
is_state three 3 "one that is older"
anew
exits 0 "two at a time" "$BLKSNAP" apply one-three full
is_state three 3 "two at a time"

anew
exits 16 "one is missing between" "$BLKSNAP" apply two-three full
says err 'apply those between them first' "the remedy is told"
is_as_before "one is missing"
"$export_file" two foreign old=one since=1 number=2 generation=aaaaaaaa-89ab-cdef-0123-456789abcdef 2>err
exits 16 "of another device" "$BLKSNAP" apply foreign full
is_as_before "of another device"
head -c 1048576 one >short
head -c 1048576 two >short2
"$export_file" short2 of-short old=short since=1 number=2 2>err
exits 16 "of another size" "$BLKSNAP" apply of-short full
is_as_before "of another size"

# ---- through a pipe -------------------------------------------------------------------

exits 0 "from a pipe" bash -c "cat one-two | '$BLKSNAP' apply - full"
is_state two 2 "from a pipe"
[ "$(find . -name '*spool*')" = "" ]
ok $? "no file is left over"
exits 0 "from a process" "$BLKSNAP" apply <(cat two-three) full
is_state three 3 "from a process"
anew
exits 4 "a pipe that ends too early" bash -c "head -c 20000 one-two | '$BLKSNAP' apply - full"
says err 'incomplete' "it says so"
is_as_before "a pipe that ends too early"

# ---- damage ------------------------------------------------------------------------------

end=$(stat -c %s one-two)
for at in 0 9 40 100 511 512 530 543 544 3000 20000 $((end - 64)) $((end - 20)) $((end - 1)); do
	anew
	cp one-two damaged
	flip damaged "$at"
	exits 4 "damaged at $at" "$BLKSNAP" apply damaged full
	is_as_before "damaged at $at"
	exits 4 "damaged at $at, dry run" "$BLKSNAP" apply --dry-run damaged full
done
for len in 0 1 511 512 543 600 20000 $((end - 64)) $((end - 32)) $((end - 1)); do
	head -c "$len" one-two >damaged
	exits 4 "of $len bytes only" "$BLKSNAP" apply damaged full
	is_as_before "of $len bytes only"
done
exits 4 "not an increment" "$BLKSNAP" apply two full
says err 'not an increment' "it says so"
is_as_before "not an increment"

# ---- cuts --------------------------------------------------------------------------------

bad=0
for ((n = 1; n < 1000; n++)); do
	anew
	"$BLKSNAP" apply --stop-after $n one-two full >out 2>err
	[ $? -eq 8 ] || break
	if ! cmp -s full before && ! grep -q '"applying": *"'$id:2 full.blksnap &&
	   ! { cmp -s full two && grep -q '"id": *"'$id:2 full.blksnap; }; then
		echo "# step $n: half of it is there, and nothing says so"
		bad=1
	fi
	# Now and then the second attempt is cut too.
	[ $((n % 3)) -ne 0 ] ||
		"$BLKSNAP" apply --stop-after $((n % 7 + 1)) one-two full >out 2>err
	"$BLKSNAP" apply one-two full >out 2>err || bad=1
	cmp full two >out 2>>err && grep -q '"id": *"'$id:2 full.blksnap || bad=1
	[ $bad -eq 0 ] || break
done
ok $bad "cut after each of its steps ($((n - 1))), then run again"
[ $n -gt 10 ] && [ $n -lt 1000 ]
ok $? "there were steps to cut at"

anew
"$BLKSNAP" apply --stop-after 6 one-two full >out 2>err
! cmp -s full one && ! cmp -s full two
ok $? "cut in the middle"
cp -p full before
cp full.blksnap before.blksnap
exits 16 "another increment then" "$BLKSNAP" apply one-three full
says err "apply that increment again" "the remedy is told"
is_as_before "another increment then"
exits 16 "the next increment then" "$BLKSNAP" apply two-three full
is_as_before "the next increment then"
exits 0 "what a dry run says" "$BLKSNAP" apply --dry-run --json one-two full
json out '$d->{action} eq "finish"' "it would be finished"
is_as_before "what a dry run says"
"$export_file" two older old=one since=1 number=2 block=4096 time=1600000000 2>err
exits 16 "the same, but exported before it" "$BLKSNAP" apply older full
is_as_before "exported before it"
"$export_file" two later old=one since=1 number=2 block=4096 time=1800000000 2>err
exits 0 "the same, exported again" "$BLKSNAP" apply later full
is_state two 2 "exported again"
anew
"$BLKSNAP" apply --stop-after 6 one-two full >out 2>err
exits 0 "the same increment" "$BLKSNAP" apply one-two full
is_state two 2 "the same increment"

# A limit of the kernel kills it, where no program expects it.
anew
truncate -s 0 full
truncate -s $size full
cp -p one full
{ bash -c "ulimit -c 0; ulimit -f 512; exec '$BLKSNAP' apply --force one-three full" >out 2>err; } 2>/dev/null
is $? 153 "killed by a signal"
exits 0 "and then it is finished" "$BLKSNAP" apply one-three full
is_state three 3 "killed and run again"

# The same as an error.
anew
exits 8 "an error in the middle" bash -c "trap '' XFSZ; ulimit -f 512
	exec '$BLKSNAP' apply one-three full"
says err 'File too large' "it is told"
says err 'apply one-three again' "the remedy is told"
exits 16 "another increment then" "$BLKSNAP" apply one-two full
exits 0 "and then it is finished" "$BLKSNAP" apply one-three full
is_state three 3 "an error and run again"
anew
exits 8 "an error before anything is written" bash -c "trap '' XFSZ; ulimit -f 0
	exec '$BLKSNAP' apply -q one-three full" </dev/null
cmp full one 2>/dev/null && cmp full.blksnap before.blksnap 2>/dev/null
ok $? "an error before anything is written: nothing was"

# ---- the full image ------------------------------------------------------------------------

anew
touch full
cp -p full before
exits 16 "an image that was written to" "$BLKSNAP" apply one-two full
says err 'force' "the remedy is told"
is_as_before "an image that was written to"
exits 0 "--force" "$BLKSNAP" apply --force one-two full
is_state two 2 "--force"
exits 0 "no --force is needed after that" "$BLKSNAP" apply two-three full
anew
touch -d "@$(stat -c %Y full)" full
exits 0 "a copy that has kept the seconds only" "$BLKSNAP" apply one-two full
is_state two 2 "the seconds only"
anew
touch -d "@$(stat -c %Y full).5" full
exits 16 "written to within the same second" "$BLKSNAP" apply one-two full
anew
rm full.blksnap
exits 16 "no description" "$BLKSNAP" apply one-two full
says err 'full.blksnap' "it is named"
for junk in '' junk '[]' '{}' '{ "version": 2 }' '{ "version": 1, "id": 7 }' \
	    '{ "version": 1, "id": "x", "size_bytes": -5, "origin": "", "written": "" }'; do
	echo "$junk" >full.blksnap
	exits 8 "a description '$junk'" "$BLKSNAP" apply one-two full
done
cmp full before >out 2>err
ok $? "nothing was written"
anew
truncate -s 1M full
exits 16 "an image of another size" "$BLKSNAP" apply --force one-two full
anew
exec 9<full
flock -n 9
exits 16 "an image that is locked" "$BLKSNAP" apply one-two full
exec 9<&-
is_as_before "an image that is locked"
exits 16 "a directory" "$BLKSNAP" apply one-two .
exits 8 "no image" "$BLKSNAP" apply one-two nothing
exits 8 "no increment" "$BLKSNAP" apply nothing full
is_as_before "no increment"

on_a_terminal "$BLKSNAP" apply one-two full
says out 'verify \[#* *\] .* of 1' "on a terminal it is told how far it has come"
says out 'apply \[#* *\] .* of 1' "of both passes"
cmp full two >out 2>err
ok $? "and done"
anew
on_a_terminal "$BLKSNAP" apply --quiet one-two full
is "$(wc -c <out)" 0 "nothing is said with --quiet"

finish
