#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Options, messages, JSON.

# shellcheck disable=SC2016

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

commands='create trim checkpoint commit remove status restore check dump'

exits 2 "no command" "$BOW"
exits 2 "unknown command" "$BOW" frobnicate
says err "^bow: unknown command 'frobnicate'" "it is named"
exits 0 "--help" "$BOW" --help
exits 0 "--version" "$BOW" --version
says out '^bow [0-9]' "the version"
"$BOW" --help | grep -q "^  boot "
ok $? "boot is in the help; 090-boot.t has the rest of it"
for c in $commands; do
	"$BOW" --help | grep -q "^  $c "
	ok $? "$c is in the help"
	exits 0 "$c --help" "$BOW" "$c" --help
	says out "^Usage: bow $c " "$c has a usage"
	exits 0 "$c --version" "$BOW" "$c" --version
	exits 2 "$c: unknown option" "$BOW" "$c" --no-such-option
	says err "^bow: unrecognized option" "$c names it"
	exits 2 "$c: too many arguments" "$BOW" "$c" a b c
done
for c in create trim checkpoint commit remove restore check dump; do
	exits 2 "$c: no argument" "$BOW" "$c"
done

exits 2 "bad block size" "$BOW" create --block-size 3000 x /dev/null
exits 2 "small block size" "$BOW" create --block-size 2K x /dev/null
exits 2 "large block size" "$BOW" create --block-size 2M x /dev/null
exits 2 "negative block size" "$BOW" create --block-size -4096 x /dev/null
exits 2 "bad policy" "$BOW" create --on-full never x /dev/null
exits 2 "bad low water" "$BOW" create --low-water 1.5 x /dev/null
exits 2 "bad name" "$BOW" create a/b /dev/null
exits 2 "a character device" "$BOW" check /dev/null
exits 8 "no such file" "$BOW" check ./nothing
says err '^bow: ./nothing: No such file' "it is named"
exits 8 "no such file to commit" "$BOW" commit ./nothing

log_with seed=1
exits 2 "create on a file" "$BOW" create x image
says err 'losetup' "the remedy is named"
is_untouched "create on a file"

exec 9<image
flock --exclusive 9
exits 16 "a locked image is not restored" "$BOW" restore image
exits 16 "a locked image is not checked" "$BOW" check image
flock --unlock 9
flock --shared 9
exits 1 "an image that is read is checked" "$BOW" check image
exits 16 "an image that is read is not restored" "$BOW" restore image
exec 9<&-
is_untouched "locked"

exits 1 "check --json" "$BOW" check --json image
json out '$d->{verdict} eq "good" && $d->{status} == 1 && !defined $d->{error}' \
	"check: verdict"
json out '$d->{log}{state} eq "checkpoint" && $d->{log}{block_bytes} == 4096 && $d->{log}{time} == 1700000000' \
	"check: log"
[ ! -s err ]
ok $? "check --json is silent on stderr"
exits 1 "dump --json" "$BOW" dump --json image
json out '@{$d->{slots}} == 2 && $d->{slots}[0]{verdict} eq "ok" && $d->{slots}[0]{header}{version} == 1' \
	"dump: slots"
json out '!grep { !$_->{record_count} || @{$_->{records}} != $_->{record_count} } @{$d->{pages}}' \
	"dump: every record"
json out 'join(" ", map { $_->{sequence} } @{$d->{pages}}) eq join(" ", reverse 0 .. $#{$d->{pages}})' \
	"dump: every page, newest first"
json out '(grep { $_->{kind} eq "backup" && $_->{verdict} eq "valid" } map { @{$_->{records}} } @{$d->{pages}}) == $d->{log}{backups}' \
	"dump: backups add up"
cp out first
"$BOW" dump --json image >second
cmp -s first second
ok $? "dump is stable"
exits 1 "dump as text" "$BOW" dump image
says out '^slot 0, sector 0: ok' "text: slot"
says out '^page 0, sector ' "text: page"
says out '^ *0  backup *0 -> .*valid' "text: record of block 0"
exits 1 "restore --dry-run --json" "$BOW" restore --dry-run --json image
json out '$d->{action} eq "rolled-back" && $d->{dry_run}' "restore: what it would do"
is_untouched "readers"
exits 1 "restore --json" "$BOW" restore --json image
json out '$d->{action} eq "rolled-back" && $d->{log}{state} eq "checkpoint"' \
	"restore: the log as it was"
cp before image
exits 1 "restore --quiet" "$BOW" restore --quiet image
[ ! -s out ] && [ ! -s err ]
ok $? "it is quiet"
exits 0 "restore --json without a log" "$BOW" restore --json image
json out '$d->{action} eq "none" && !defined $d->{log}' "restore: nothing"
exits 0 "check --json without a log" "$BOW" check --json image
json out '$d->{verdict} eq "no-log"' "check: no log"
exits 0 "dump --json without a log" "$BOW" dump --json image
json out '!@{$d->{pages}} && !defined $d->{log}' "dump: no log"
exits 0 "commit --json without a log" "$BOW" commit --json image
json out '$d->{action} eq "none"' "commit: nothing"
: >empty
exits 0 "an empty file carries no log" "$BOW" restore empty

cp before image
exits 8 "a report that cannot be written is an error" \
	bash -c '"$0" check --json image >/dev/full' "$BOW"

# Where there is no device-mapper (or no right to use it) it is said.
if [ ! -w /dev/mapper/control ]; then
	exits 8 "status without a device-mapper" "$BOW" status
	says err 'device-mapper' "it says what is missing"
	exits 8 "checkpoint without a device-mapper" "$BOW" checkpoint x
	exits 8 "commit of a name without a device-mapper" "$BOW" commit x
fi

finish
