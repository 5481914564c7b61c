#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Break one rule at a time in a copy of the sources and see the explorer notice.
#   mutate.sh [name]...

set -u
cd "$(dirname "$0")" || exit 2
top=../..
states=${STATES:-300000}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
survived=0
caught=0

# name, files in drivers/md, perl program for each as a whole
mutate() {
	name=$1 files=$2 program=$3
	case " $wanted " in *" $name "*|"  ") ;; *) return ;; esac
	rm -rf "$work/src" && mkdir -p "$work/src/drivers" "$work/src/tests" &&
	cp -r $top/drivers/md "$work/src/drivers/" &&
	cp -r $top/include $top/userspace "$work/src/" &&
	cp -r ../model ../unit "$work/src/tests/" || exit 2
	for file in $files; do
		cp "$work/src/drivers/md/$file" "$work/before"
		perl -0pi -e "$program" "$work/src/drivers/md/$file"
		if cmp -s "$work/before" "$work/src/drivers/md/$file"; then
			echo "STALE     $name: nothing to change in $file"
			survived=$((survived + 1))
			return
		fi
	done
	if ! make -s -C "$work/src/tests/model" B="$work/build" \
	     "$work/build/model-small" >"$work/log" 2>&1; then
		cat "$work/log"
		echo "STALE     $name: does not build"
		survived=$((survived + 1))
		return
	fi
	timeout 300 "$work/build/model-small" --states "$states" --no-shrink \
		>"$work/log" 2>&1
	if grep -q '^FAILED, seed' "$work/log"; then
		echo "caught    $name: $(grep -m1 FAILED "$work/log" | cut -c1-110)"
		caught=$((caught + 1))
	elif ! make -s -C "$work/src/tests/unit" B="$work/build" check \
	       >"$work/log" 2>&1; then
		echo "caught    $name: by the unit tests"
		caught=$((caught + 1))
	else
		echo "SURVIVED  $name"
		survived=$((survived + 1))
	fi
}

wanted=$*

mutate no-group-flush dm-cow-commit.c \
	's/cow->env->flush\(cow\);/cow_flush_done(cow, 0);/'
mutate release-before-flush dm-cow-commit.c \
	's/(cow->env->flush\(cow\);)/{ struct cow_waiter *w, *t; list_for_each_entry_safe(w, t, &group->waiters, node) { list_del(&w->node); cow->env->release(cow, w, 0); } } $1/'
mutate strict-toggle dm-cow-log.c \
	's/slot_sector\(log, !log->newest\)/slot_sector(log, log->generation & 1)/; s/log->newest = !log->newest;/log->newest = log->generation & 1;/'
# Either of the two flushes will do; one there must be.
mutate no-flush-after-enter "dm-cow-log.c dm-bow-enter.c" \
	's/(Before the first group may write to slot 1\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/; s/return r \? r : cow_flush\(cow->io\);/return r;/'
mutate no-flush-before-block0 dm-cow-log.c \
	's/(All that the header will name, before the header\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/'
mutate predecessor-by-sequence dm-cow-picture.c \
	's/prev->generation != head->prev_generation \|\|//'
mutate no-fallback dm-cow-picture.c \
	's/\*reaches = false;/*reaches = true;/'
mutate records-in-rewrite dm-cow-log.c \
	's/u32 sectors = slot == log->newest \? io->atomic_sectors : COW_PAGE_SECTORS;\s*int r;/u32 sectors = COW_PAGE_SECTORS; int r; struct cow_record more = { .kind = COW_RECORD_RESERVE }; if (slot == log->newest && !cow_log_full(log)) cow_log_add(log, &more);/'
mutate slot1-one-flush dm-cow-log.c \
	's/(The new slot is whole before block 0 names it\.\.\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/'
mutate slot1-named-by-newest "dm-cow-log.c dm-cow-picture.c" \
	's/log->head\.slot1 = place;\s*stamp\(log\);\s*r = write_page\(io, place, log->tail\);/stamp(log); r = write_page(io, place, log->tail); log->head.slot1 = place;/; s/log->head\.slot1 = slots\[0\]\.head\.slot1;//'
mutate no-first-act dm-bow-resume.c \
	's/return cow_log_write_group\(&cow->log, cow->io\);/return 0;/'
mutate first-act-over-newest dm-bow-resume.c \
	's/return cow_log_write_group\(&cow->log, cow->io\);/cow->log.newest = !cow->log.newest; return cow_log_write_group(&cow->log, cow->io);/'
mutate no-voids dm-cow-commit.c \
	's/group->nr_voids = min\(room, cow->nr_voids\);/group->nr_voids = 0; cow->nr_voids = 0; (void)room;/'
mutate block0-in-one-piece dm-cow-finish.c \
	's/u32 first = io->atomic_sectors;/u32 first = sectors;/'
mutate seal-move-not-durable dm-cow-move.c \
	's/cow->log\.head\.seal = place;\s*return [^;]*;/cow->log.head.seal = place; return 0;/'
mutate live-move-not-durable dm-cow-move.c \
	's/hidden->live = place;\s*return [^;]*;/hidden->live = place; return 0;/'
mutate live-copy-no-flush dm-cow-move.c \
	's/r = cow_flush\(cow->io\);/r = 0;/'
mutate no-hold dm-cow-move.c \
	's/cow->env->hide_hold\(cow, index\);//'
mutate read-without-flush dm-cow-picture.c \
	's/if \(cow_flush\(pic->io\)\)/if (0)/'
mutate no-flush-after-mark dm-cow-log.c \
	's/r = rewrite_slot\(log, io, 1\);/stamp(log); r = cow_write(io, log->head.slot1, log->tail, log->newest ? io->atomic_sectors : COW_PAGE_SECTORS);/'
mutate no-flush-before-header dm-cow-finish.c \
	's/(All copies before the header.*?)r = cow_flush\(pic->io\);/$1r = 0;/s; s/(As long as the header stands.*?)r = cow_flush\(io\);/$1r = 0;/s'
mutate go-on-after-failure dm-cow-commit.c \
	's/if \(cow->failed\) \{/if (0) {/'

echo "$caught caught, $survived survived"
[ "$survived" -eq 0 ]
