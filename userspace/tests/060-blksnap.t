#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# blksnap: options, messages. What needs no device.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"

commands='attach detach take resume list remove grow monitor restore check dump changed mark export apply'

exits 2 "no command" "$BLKSNAP"
exits 2 "unknown command" "$BLKSNAP" checkpoint
says err "^blksnap: unknown command 'checkpoint'" "it is named"
says err "^Try 'blksnap --help'" "help is offered"
exits 0 "--help" "$BLKSNAP" --help
says out '^Usage: blksnap ' "the usage"
! grep -qw bow out
ok $? "it is that of this program"
exits 0 "--version" "$BLKSNAP" --version
says out '^blksnap [0-9]' "the version"
for c in $commands; do
	"$BLKSNAP" --help | grep -q "^  $c "
	ok $? "$c is in the help"
	exits 0 "$c --help" "$BLKSNAP" "$c" --help
	says out "^Usage: blksnap $c " "$c has a usage"
	says out "see blksnap(8)" "$c names the man page"
	exits 0 "$c --version" "$BLKSNAP" "$c" --version
	exits 2 "$c: unknown option" "$BLKSNAP" "$c" --no-such-option
	says err "^blksnap: unrecognized option" "$c names it"
	says err "^Try 'blksnap $c --help'" "$c offers help"
	# What is said of an option is what is done with it.
	for o in $("$BLKSNAP" "$c" --help | grep -o '^ .*  --[a-z-]*' | grep -o -- '--[a-z-]*'); do
		case $o in
		--help|--version) continue ;;
		esac
		"$BLKSNAP" "$c" "$o" 2>err >out </dev/null
		! grep -q 'unrecognized option' err
		ok $? "$c knows $o"
	done
done
for c in attach detach take remove grow changed mark export apply; do
	exits 2 "$c: no argument" "$BLKSNAP" "$c"
done
exits 2 "attach: too many arguments" "$BLKSNAP" attach a b
exits 2 "attach --create: too few" "$BLKSNAP" attach --create a
exits 2 "attach --create: too many" "$BLKSNAP" attach --create a b c
exits 2 "attach --create: a bad name" "$BLKSNAP" attach --create a/b /dev/null
exits 2 "attach --create: a name with a blank" "$BLKSNAP" attach --create 'a b' /dev/null
exits 2 "detach: too many arguments" "$BLKSNAP" detach a b
exits 2 "list: too many arguments" "$BLKSNAP" list a b
exits 2 "remove --all: no origin" "$BLKSNAP" remove --all

exits 2 "take --persistent: two origins" "$BLKSNAP" take --persistent --store x a b
says err "one after the other, or without --persistent" "what to do instead is said"
exits 2 "take: no store" "$BLKSNAP" take a
says err "store" "it is named"
for size in 3000 2K 2M -4096 64Q ''; do
	exits 2 "take: block size '$size'" "$BLKSNAP" take --store x --block-size "$size" a
	says err "power of two" "what is wanted is said"
done
for name in '' a/b 'a b' -x . .. "$(printf '%064d' 0)" 'a\b'; do
	exits 2 "take: name '$name'" "$BLKSNAP" take --store x --name "$name" a
	says err "the name" "what is wanted is said"
done
exits 2 "grow: no size" "$BLKSNAP" grow x
says err "size is needed" "it is named"
exits 2 "grow: a bad size" "$BLKSNAP" grow --size 12x x
exits 2 "grow: two stores" "$BLKSNAP" grow --size 1G x y
exits 2 "monitor: an argument" "$BLKSNAP" monitor x
for mark in 0 0% 100% 5%% 5%x % -1 x 511 ''; do
	exits 2 "monitor: low water '$mark'" "$BLKSNAP" monitor --once --low-water "$mark"
	says err "low-water wants" "what is wanted is said"
done
for size in 0 x ''; do
	exits 2 "monitor: limit '$size'" "$BLKSNAP" monitor --once --limit "$size"
	exits 2 "monitor: step '$size'" "$BLKSNAP" monitor --once --step "$size"
done

# -n is the name here: it takes an argument, and is not a dry run.
exits 2 "take: -n takes a name" "$BLKSNAP" take --store x -n
says err "requires an argument" "it says so"
exits 2 "take: a point to wait at that is none" "$BLKSNAP" take --test-wait nowhere a

exits 2 "export: a full image to the standard output" "$BLKSNAP" export a -
exits 2 "export: a report among the data" "$BLKSNAP" export --json --since x a -
exits 2 "export: one argument" "$BLKSNAP" export a
exits 2 "apply: one argument" "$BLKSNAP" apply a
exits 2 "apply: three arguments" "$BLKSNAP" apply a b c

if [ ! -w /dev/mapper/control ]; then
	for c in "list" "attach x" "detach x" "take --store /dev/null x" "remove x" \
		"grow --size 1G x" "monitor --once" "export x y"; do
		# shellcheck disable=SC2086
		exits 8 "$c: without a device-mapper" "$BLKSNAP" $c
		says err '^blksnap: .*device-mapper' "it says what is missing"
	done
fi

finish
