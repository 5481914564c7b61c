#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086
#
# The copying below blksnap export, with files in place of images: holes, cuts after
# each step, errors, what else may lie there.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"
export_file=$BOW_TESTS/export-file
id=01234567-89ab-cdef-0123-456789abcdef
size=$((3 * 1024 * 1024 + 4096 + 512))

# Random data, zeroes, a few bytes; the end is not that of a block.
head -c $size /dev/urandom >one
truncate -s 4K few
printf x | dd of=few bs=1 seek=4095 conv=notrunc status=none
dd if=/dev/zero of=one bs=4k seek=20 count=300 conv=notrunc status=none
dd if=few of=one bs=4k seek=100 conv=notrunc status=none
cp one two
dd if=/dev/urandom of=two bs=4k seek=150 count=5 conv=notrunc status=none
dd if=/dev/zero of=two bs=4k seek=400 count=40 conv=notrunc status=none
dd if=/dev/urandom of=two bs=512 seek=$((size / 512 - 1)) count=1 conv=notrunc status=none
since="old=one since=1 number=2"

fresh()
{
	rm -f full* inc*
}

is_one()
{
	cmp full one >out 2>err && [ "$(stat -c %s full)" = $size ]
	ok $? "$1: the contents, bit for bit"
	! ls full.part full.state full.new full.blksnap.new full.state.new >out 2>/dev/null
	ok $? "$1: nothing else is left"
	grep -q "\"id\": *\"$id:1\"" full.blksnap
	ok $? "$1: it is known what it is"
}

is_two()
{
	cp -a one base
	cp full.blksnap base.blksnap
	"$BLKSNAP" apply --force inc base >out 2>err && cmp base two >>out 2>>err
	ok $? "$1: with it one becomes two"
	! ls inc.part inc.state >out 2>/dev/null
	ok $? "$1: nothing else is left"
}

exits 0 "a full image" "$export_file" one full
is_one "a full image"
[ $(($(stat -c %b full) * 512)) -lt $((size - 1100000)) ]
ok $? "it has holes ($(stat -c %b full) blocks)"
is "$(stat -c %a full full.blksnap | tr '\n' ' ')" "600 600 " "nobody else can read it"
exits 0 "an increment" "$export_file" two inc $since
is_two "an increment"
[ "$(stat -c %s inc)" -lt 300000 ]
ok $? "it has nothing but the changes ($(stat -c %s inc) bytes)"
"$export_file" two - $since >piped 2>err
cmp inc piped >out 2>err
ok $? "through a pipe it is the same"
exits 8 "a pipe that is full" bash -c "'$export_file' two - $since >/dev/full"

# ---- cuts: whatever was not durable may be anything ---------------------------------

# cuts NAME CHECK ARGUMENT...: of the export of FILE
cuts()
{
	local what=$1 file=$2 check=$3 n bad=0 resumed=0 bytes
	shift 3
	for ((n = 1; n < 1000; n++)); do
		rm -f "$file" "$file".*
		[ "$file" != inc ] || cp one.blksnap full.blksnap
		"$export_file" "$@" stop-after=$n save=262144 >out 2>err
		[ $? -eq 8 ] || break
		if [ -e "$file" ] && [ "$file" = full ] && [ ! -e full.blksnap ]; then
			echo "# step $n: there is a full image without its description"
			bad=1
		fi
		if [ -e "$file.part" ]; then
			bytes=$(sed -n 's/.*"file_bytes": *\([0-9]*\).*/\1/p' "$file.state" 2>/dev/null)
			dd if=/dev/urandom of="$file.part" bs=1 seek="${bytes:-0}" count=99 \
				status=none conv=notrunc
			# Nothing was durable before there was a state.
			[ -n "$bytes" ] || rm "$file.part"
		fi
		# Now and then the second attempt is cut too.
		[ $((n % 3)) -eq 0 ] &&
			"$export_file" "$@" stop-after=$((n % 7 + 1)) save=262144 >out 2>err ||
			"$export_file" "$@" save=262144 >out 2>err || {
			echo "# step $n: not finished"
			bad=1
		}
		! grep -q 'resumed [1-9]' err || resumed=$((resumed + 1))
		cmp "$file" "$check" >out 2>&1 || {
			echo "# step $n: another file"
			bad=1
		}
		! ls "$file.part" "$file.state" >out 2>/dev/null || {
			echo "# step $n: something is left"
			bad=1
		}
		[ $bad -eq 0 ] || break
	done
	ok $bad "$what: cut after each of its steps, then run again"
	[ $n -gt 10 ] && [ $n -lt 1000 ]
	ok $? "$what: there were steps to cut at ($((n - 1)))"
	[ $resumed -gt 5 ]
	ok $? "$what: $resumed times it did not start over"
}

cp inc inc-good
cp full.blksnap one.blksnap
mv inc-good good
cuts "full image" full one one full
cuts "increment" inc good two inc $since

# A limit of the kernel kills it, where no program expects it.
fresh
{ bash -c "ulimit -c 0; ulimit -f 2048; exec '$export_file' one full save=262144" >out 2>err; } 2>/dev/null
is $? 153 "killed by a signal"
[ ! -e full ]
ok $? "there is no image then"
exits 0 "and then it goes on" "$export_file" one full
says err "resumed [1-9]" "from where it was"
is_one "killed and run again"
fresh
exits 8 "an error in the middle" bash -c "trap '' XFSZ; ulimit -f 2048
	exec '$export_file' one full save=4096000"
says err 'File too large' "it is told"
says err 'goes on from there' "and how to go on"
exits 0 "and then it goes on" "$export_file" one full
says err "resumed 2097152" "from where it was, which was not to be saved yet"
is_one "an error and run again"

# ---- what lies there already ---------------------------------------------------------

fresh
echo precious >full
exits 16 "a file is there already" "$export_file" one full
is "$(cat full)" precious "it is not touched"
fresh
echo precious >full.part
exits 16 "a partial file of somebody else" "$export_file" one full
is "$(cat full.part)" precious "it is not touched"
fresh
ln -s /etc/hostname full.part
exits 8 "a link" "$export_file" one full

# begun NAME ARGUMENT...: cut in the middle
begun()
{
	fresh
	"$export_file" "$@" stop-after=14 save=4096 >out 2>err
	[ -e "$2.state" ] && [ ! -e "$2" ]
	ok $? "begun: $*"
}

begun one full
exits 16 "another snapshot" "$export_file" one full number=3
says err "$id:1; finish that, or remove full.part and full.state" "the remedy is told"
exits 16 "an increment in place of a full image" "$export_file" one full $since
exits 16 "another origin" "$export_file" one full generation=aaaaaaaa-89ab-cdef-0123-456789abcdef
exits 0 "a snapshot that was written to" "$export_file" two full stamp=1:1
says err 'starting over' "it says so"
says err 'resumed 0' "and does so"
cmp full two >out 2>err
ok $? "nothing of before is left in it"
begun one full
truncate -s 1000 full.part
exits 0 "a part that has become shorter" "$export_file" one full
says err 'starting over' "it says so"
is_one "shorter"
begun one full
echo '{ "version": 1, "position": 1 }' >full.state
exits 16 "a state that is not understood" "$export_file" one full
says err 'remove' "the remedy is told"
echo junk >full.state
exits 16 "a state that is junk" "$export_file" one full
begun one full
sed -i 's/\("position": *\)[0-9]*/\199999999/' full.state
exits 16 "a position behind the end" "$export_file" one full
begun two inc $since
poke inc.part 40 1
exits 0 "a header that is another one" "$export_file" two inc $since
says err 'starting over' "it says so"
cmp inc good >out 2>err
ok $? "it is what it should be"

fresh
exits 16 "written to while it was read" "$export_file" one full after-read=2:2 save=99999999
says err 'written to while' "it says so"
exits 16 "the same, seen before its end" "$export_file" one full after-read=2:2 stop-after=9
[ ! -e full ]
ok $? "there is no image then"
exits 0 "and once more" "$export_file" one full stamp=2:2
says err 'resumed 0' "from the start"
is_one "once more"

begun one full
exec 9<>full.part
flock -n 9
exits 16 "two at a time" "$export_file" one full
says err 'another process' "it says so"
exec 9>&-
exits 0 "when the other one has ended" "$export_file" one full

fresh
on_a_terminal "$export_file" one full
says out '\[#* *\] .* of 3' "on a terminal it is told how far it has come"
is_one "on a terminal"
fresh
on_a_terminal "$export_file" one full quiet=1
! grep -q '\[' out
ok $? "not if it is to be quiet"
fresh
exits 0 "not on a terminal" "$export_file" one full
! grep -q '\[' err
ok $? "it is not told there"

finish
