# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# TAP for the tests of the tool. BOW is the tool, BOW_TESTS where the programs
# of the tests are. Each test gets a directory of its own and works in it.

set -u
: "${BOW:?is to be the path of the tool}" "${BOW_TESTS:?is to be set}"
make_log=$BOW_TESTS/make-log
# In memory where possible: the tool flushes a lot.
dir=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
tests=0

# ok STATUS DESCRIPTION: 0 is good.
ok()
{
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		# What the commands of this test said.
		for f in out err; do
			[ ! -s $f ] || sed "s/^/# $f: /" $f
		done
	fi
}

# exits STATUS DESCRIPTION COMMAND...: run it, keep out and err.
exits()
{
	local want=$1 what=$2 got
	shift 2
	"$@" >out 2>err
	got=$?
	[ $got -eq "$want" ] || echo "# exit status $got, not $want"
	[ $got -eq "$want" ]
	ok $? "$what"
}

# on_a_terminal COMMAND...: as if it were one; what is said is in out
on_a_terminal()
{
	script -qec "$(printf '%q ' "$@")" /dev/null >out 2>err </dev/null
}

# says FILE PATTERN DESCRIPTION
says()
{
	grep -q -- "$2" "$1"
	ok $? "$3"
}

# is GOT WANT DESCRIPTION
is()
{
	[ "$1" = "$2" ] || echo "# '$1', not '$2'"
	[ "$1" = "$2" ]
	ok $? "$3"
}

# An image with a log in "image", and a copy of it in "before".
log_with()
{
	"$make_log" make . "$@" || exit 1
	cp image before
}

is_original()
{
	"$make_log" compare . original >out 2>err
	ok $? "$1: the contents of the checkpoint, bit for bit"
}

is_live()
{
	"$make_log" compare . live >out 2>err
	ok $? "$1: the newest contents, bit for bit"
}

is_untouched()
{
	cmp image before >out 2>err
	ok $? "$1: not a byte was written"
}

# poke FILE OFFSET BYTES: overwrite with junk.
poke()
{
	head -c "$3" /dev/zero | tr '\0' '\245' |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# json FILE EXPRESSION DESCRIPTION: perl; $d is the document.
json()
{
	perl -MJSON::PP -e '
		local $/;
		open(my $f, "<", $ARGV[0]) or die;
		my $d = decode_json(<$f>);
		exit !($d->{version} == 1 && eval($ARGV[1]));' "$1" "$2" 2>err
	ok $? "$3"
}

# look_up EXPRESSION: print it, of the dump of "image".
look_up()
{
	"$BOW" dump --json image | perl -MJSON::PP -e '
		local $/;
		my $d = decode_json(<STDIN>);
		print eval($ARGV[0]);' "$1"
}

finish()
{
	echo "1..$tests"
}
