#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Build the modules with one rule broken, record them, and see the replay notice.
#   mutate.sh [NAME...]
#
# The judges are not mutated: they are built from the sources as they are.

set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd -P)
kernel=${KERNEL:-6.12}
states=${STATES:-6000}
work=$(mktemp -d "${TMPDIR:-/tmp}/replay-mutations.XXXXXX")
trap 'rm -rf "$work"' EXIT
wanted=" $* " caught=0 survived=0

make -s -C "$top" tool
mkdir -p "$work/src/build"
cp -r "$top"/{META,drivers,include,scripts,tests,userspace} "$work/src/"
ln -s "$top/build/bow" "$top/build/blksnap" "$work/src/build/"

not_caught() { # WHAT NAME WHY
	echo "$1  $2: $3"
	survived=$((survived + 1))
}

# NAME, recording, file in drivers/md, perl program for it as a whole
mutate() {
	local name=$1 recording=$2 file=$work/src/drivers/md/$3 rc=0

	[[ $wanted == *" $name "* || $wanted == "  " ]] || return 0
	rm -rf "$work/src/drivers" "$work/recording"
	cp -r "$top/drivers" "$work/src/"
	perl -0pi -e "$4" "$file"
	if cmp -s "$file" "$top/drivers/md/$3"; then
		not_caught STALE "$name" "nothing to change in $3"
		return
	fi
	if ! "$work/src/scripts/build-modules" "$kernel" >"$work/out" 2>&1; then
		cat "$work/out"
		not_caught STALE "$name" "does not build"
		return
	fi
	REPLAY_CORE=$top/drivers/md "$work/src/tests/replay/run" -k "$kernel" -n "$states" \
		-d "$work/recording" "$recording" >"$work/out" 2>&1 || rc=$?
	if [ $rc = 1 ] && grep -q '^FAILED' "$work/out"; then
		echo "caught    $name: $(sed -n 's/^FAILED [^:]*: //p' "$work/out")"
		caught=$((caught + 1))
	elif [ $rc = 0 ]; then
		not_caught SURVIVED "$name" "$(tail -n 1 "$work/out")"
	else
		cat "$work/out"
		not_caught STALE "$name" "no verdict"
	fi
}

# shellcheck disable=SC2016
{
# The group's flush never reaches the disk.
mutate no-flush-bio back dm-cow-bio.c \
	's/submit_bio_noacct\(&dev->flush_bio\);/flush_end_io(&dev->flush_bio);/'
# Writes go on when their backups are written, not when they are durable.
mutate release-before-flush fua dm-cow-commit.c \
	's/(cow->env->flush\(cow\);)/{ struct cow_waiter *w, *t; list_for_each_entry_safe(w, t, &group->waiters, node) { list_del(&w->node); cow->env->release(cow, w, 0); } } $1/'
# A group of few copies is let go though these are in the cache.
mutate fua-forgotten fua dm-cow-copy.c \
	's/\(copy->op\.fua \? REQ_FUA : 0\)/0/'
mutate fua-page-forgotten fua dm-cow-bio.c \
	's/\(write->fua \? REQ_FUA : 0\)/0/'
# No flush while entering, moving, committing.
mutate no-sync-flush back dm-cow-bio.c \
	's/return blkdev_issue_flush\(dev->bdev\);/return dev ? 0 : -EIO;/'
# The commit writes block 0, and with it the header over, at once.
mutate block0-in-one-piece back dm-cow-finish.c \
	's/u32 first = io->atomic_sectors;/u32 first = sectors;/'
# The same while entering.
mutate header-in-one-piece through dm-cow-log.c \
	's/r = cow_write\(io, 0, buf, first\);/r = cow_write(io, 0, buf, sectors);/'
# The header goes before the other hidden blocks are durable.
mutate no-flush-before-header back dm-cow-finish.c \
	's/(Before block 0, after which.*?)r = cow_flush\(io\);/$1r = 0;/s; s/(As long as the header stands.*?)r = cow_flush\(io\);/$1r = 0;/s'
# The last block of a longer write is not looked at.
mutate last-block-passes fua dm-cow-dev.h \
	's/(\*nr = [^;]* - \*first \+ 1;)/$1 *nr -= *nr > 1;/'
# After a resume nothing needs to be saved, or all of it once more.
mutate resume-saves-nothing resume dm-bow-resume.c \
	's/(cow_map_set\(&cow->map, 0, cow->geo\.nr_blocks, )COW_PROTECTED/$1COW_CHANGED/'
mutate resume-saves-twice resume dm-bow-resume.c \
	's/set_ranges\(cow, &pic->moved, COW_CHANGED\);//'
# What was cut is not cancelled.
mutate resume-without-voids resume dm-cow-adopt.c \
	's/cow->nr_voids = pic->nr_voids;/cow->nr_voids = 0;/'

# The same of a snapshot, whose log is on another device.
mutate apart-release-before-flush apart dm-cow-commit.c \
	's/(cow->env->flush\(cow\);)/{ struct cow_waiter *w, *t; list_for_each_entry_safe(w, t, &group->waiters, node) { list_del(&w->node); cow->env->release(cow, w, 0); } } $1/'
# The group's flush goes to the origin.
mutate apart-flush-astray apart dm-cow-bio.c \
	's/(&dev->flush_bio, dev->)dest_bdev/$1bdev/'
# What was written before the take may be lost after it.
mutate apart-take-unflushed apart dm-cow-bio.c \
	's/return r \? r : blkdev_issue_flush\(dev->bdev\);/return io->store_sectors ? r : blkdev_issue_flush(dev->bdev);/'
# The header is on the disk some time after the origin is written to again.
mutate apart-reinstate-unflushed apart dm-cow-apart.c \
	's/(int cow_apart_reinstate.*?)r = cow_flush\(io\);/$1r = 0;/s'
# The header goes some time after the first writes that the log lacks.
mutate apart-end-unflushed apart-full dm-cow-log.c \
	's/(int cow_log_end.*?)r = cow_flush\(io\);/$1r = 0;/s'
}

echo "$caught caught, $survived survived"
[ $survived = 0 ]
