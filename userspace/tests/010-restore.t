#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Logs of many shapes: check, dump, restore, restore again; and commit.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

shapes=(
	"seed=1"
	"seed=2 writes=0"
	"seed=3 tail=0 run=1"
	"seed=4 block-size=65536 blocks=300"
	"seed=5 block-size=1048576 blocks=60 writes=30"
	"seed=6 blocks=8192 writes=3000"
	"seed=7 blocks=2048 writes=900 failing=1"
	"seed=8 cut=1"
	"seed=9 drop=1 blocks=2048 writes=150"
	"seed=10 drop=1 failing=1 blocks=4096 writes=400"
	"seed=12 turn=1 blocks=4096 writes=20 run=1"
	"seed=11 cut=1 failing=1 block-size=8192 blocks=700 free=60"
)

for shape in "${shapes[@]}"; do
	# shellcheck disable=SC2086
	log_with $shape
	exits 1 "$shape: check finds a good log" "$BOW" check image
	exits 1 "$shape: dump" "$BOW" dump image
	exits 1 "$shape: restore --dry-run" "$BOW" restore --dry-run image
	is_untouched "$shape"
	exits 1 "$shape: restore" "$BOW" restore image
	is_original "$shape"
	cp image restored
	exits 0 "$shape: restore again" "$BOW" restore image
	says out 'nothing to do' "$shape: says that there is nothing to do"
	cmp -s image restored
	ok $? "$shape: the second restore wrote nothing"
	exits 0 "$shape: check finds no log" "$BOW" check image

	cp before image
	exits 0 "$shape: commit --dry-run" "$BOW" commit --dry-run image
	is_untouched "$shape"
	exits 0 "$shape: commit" "$BOW" commit image
	is_live "$shape"
	exits 0 "$shape: no log after the commit" "$BOW" check image
done

# One ends what the other began.
log_with seed=20 state=committing writes=200
exits 1 "committing: check" "$BOW" check image
exits 1 "committing: restore" "$BOW" restore image
says out 'interrupted commit was finished' "committing: restore says what it did"
is_live "committing: restore"
cp before image
exits 0 "committing: commit" "$BOW" commit image
is_live "committing: commit"

# A page that has just been turned, its predecessor overwritten meanwhile.
log_with seed=22 state=committing blocks=4096 writes=20 run=1 turn=1
exits 1 "committing, turned: restore" "$BOW" restore image
is_live "committing, turned: restore"

log_with seed=21 state=restoring writes=200
exits 1 "restoring: restore" "$BOW" restore image
is_original "restoring: restore"
cp before image
exits 1 "restoring: commit" "$BOW" commit image
says out 'rolled back' "restoring: commit says what it did"
is_original "restoring: commit"
cp before image
exits 1 "restoring: restore --roll-forward does not go forward" \
	"$BOW" restore --roll-forward image
is_original "restoring: roll-forward"

finish
