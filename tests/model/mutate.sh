#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Break one rule at a time in a copy of the sources and see who notices.
#
#   mutate.sh [-j N] [-l] [NAME...]
#
# N mutations at a time, two by default; -l lists the names. Each is tried with
# the explorer, pages of 5 records first, then with the unit tests; the line
# says who was first. hole1 to hole10 are the holes that a draft of the protocol
# had. The exit status is 0 if everything was noticed; a mutation that does not
# apply any more, or does not build, counts as not noticed.
#
# STATES=... SEED=... bound the search and begin it elsewhere.

set -u
cd "$(dirname "$0")" || exit 2
top=$(cd ../.. && pwd)
states=${STATES:-1000000}
seed=${SEED:-1}

# name, files (below drivers/md or with a slash below the top), perl program for
# each of them as a whole
mutations() {
	# ---- the ten holes ----------------------------------------------------

	# Either of the two flushes will do; one there must be.
	mutate hole1-no-flush-after-enter "dm-cow-log.c dm-bow-enter.c" \
		's/(Before the first group may write to slot 1\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/; s/return r \? r : cow_flush\(cow->io\);/return r;/'
	mutate hole2-no-fallback dm-cow-picture.c \
		's/\*reaches = false;/*reaches = true;/'
	mutate hole3-predecessor-by-sequence dm-cow-picture.c \
		's/prev->generation != head->prev_generation \|\|//'
	mutate hole4-read-without-flush dm-cow-picture.c \
		's/if \(cow_flush\(pic->io\)\)/if (0)/'
	mutate hole5-no-flush-after-mark dm-cow-log.c \
		's/r = rewrite_slot\(log, io, 1\);/stamp_slot(log, 1); r = write_slot(log, io, 1);/'
	mutate hole6-records-in-rewrite dm-cow-log.c \
		's/u32 sectors = slot == log->newest \? io->atomic_sectors : COW_PAGE_SECTORS;/u32 sectors = COW_PAGE_SECTORS;/; s/(unsigned int slot\)\s*\{\s*int r;)\s*(stamp_slot\(log, slot\);)/$1 struct cow_record more = { .kind = COW_RECORD_RESERVE }; if (slot == log->newest && !cow_log_full(log)) cow_log_add(log, &more); $2/'
	mutate hole6-strict-toggle dm-cow-log.c \
		's/slot_sector\(log, !log->newest\)/slot_sector(log, log->generation & 1)/; s/log->newest = !log->newest;/log->newest = log->generation & 1;/'
	mutate hole7-no-first-act dm-bow-resume.c \
		's/return cow_log_write_group\(&cow->log, cow->io\);/return 0;/'
	mutate hole8-void-place-reused dm-cow-commit.c \
		's/void_op\(cow, op\);/void_op(cow, op); cow_map_set(&cow->map, op->dest, op->nr, COW_FREE); cow_alloc_reset(&cow->alloc, &cow->map);/'
	mutate hole9-no-content-rule dm-cow-picture.c \
		's/if \(!source_intact\)/if (1)/'
	mutate hole10-slot1-named-by-newest "dm-cow-log.c dm-cow-picture.c" \
		's/log->head\.slot1 = place;\s*stamp\(log\);\s*r = write_page\(io, place, log->tail\);/stamp(log); r = write_page(io, place, log->tail); log->head.slot1 = place;/; s/log->head\.slot1 = slots\[0\]\.head\.slot1;//'

	# ---- groups -----------------------------------------------------------

	mutate group-no-flush dm-cow-commit.c \
		's/cow->env->flush\(cow\);/cow_flush_done(cow, 0);/'
	mutate group-release-before-flush dm-cow-commit.c \
		's/(cow->env->flush\(cow\);)/{ struct cow_waiter *w, *t; list_for_each_entry_safe(w, t, &group->waiters, node) { list_del(&w->node); cow->env->release(cow, w, 0); } } $1/'
	mutate group-changed-before-durable dm-cow-gate.c \
		's/(cow->env->op_start\(op\);)/$1 cow_map_set(&cow->map, block, nr, COW_CHANGED);/'
	mutate group-spans-pages "dm-cow-commit.c dm-cow-gate.c" \
		's/(static void record_ops)/static bool open_page(struct cow *cow);\n$1/; s/(if \(!room\) \{\s*hand_over)/if (!room \&\& cow_log_full(\&cow->log) \&\& cow->log.head.seal \&\& !cow->log.sealing) { open_page(cow); room = COW_PAGE_RECORDS; } $1/; s/(\treturn room > used)/\tif (cow->log.head.seal \&\& !cow_log_full(\&cow->log)) room += COW_PAGE_RECORDS;\n$1/'
	mutate group-ignores-backup-error dm-cow-commit.c \
		's/op->write_error = error;/op->write_error = 0; (void)error;/'
	mutate group-ignores-page-error dm-cow-commit.c \
		's/(inflight->writing--;\s*)if \(error\)/$1if (0)/'
	mutate group-ignores-flush-error dm-cow-commit.c \
		's/(inflight->flushed = true;\s*)if \(error\)/$1if (0)/'
	mutate group-goes-on-after-failure dm-cow-commit.c \
		's/if \(cow->failed\) \{/if (0) {/'
	mutate group-changed-though-failed dm-cow-commit.c \
		's/if \(group->error\)\s*return;\s*(\/\* the record may)/$1/'
	mutate void-twice dm-cow-commit.c \
		's/drop_recorded_voids\(cow, group->nr_voids\);/(void)drop_recorded_voids;/'
	mutate void-never-first dm-cow-gate.c \
		's/cow->voids_first = !group->nr_ops;/cow->voids_first = false;/'
	mutate void-not-recorded dm-cow-commit.c \
		's/group->nr_voids = min\(room, cow->nr_voids\);/group->nr_voids = 0; cow->nr_voids = 0; (void)room;/'
	mutate void-not-made dm-cow-commit.c \
		's/\tvoid_op\(cow, op\);/\t(void)void_op;/'

	# ---- the gate ---------------------------------------------------------

	mutate gate-copies-twice dm-cow-gate.c \
		's/op_set_busy\(op, op->source_busy, block, nr, true\);/op_set_busy(op, op->source_busy, block, 0, true);/'
	mutate gate-moves-unfinished-backup dm-cow-gate.c \
		's/cow->apart \? 0 : nr, false\)/0, false)/'
	mutate gate-moves-unfinished-seal dm-cow-commit.c \
		's/\tcow_busy_add\(cow, &group->seal_busy\);/\tgroup->seal_busy.nr = 0;/'
	mutate gate-overlooks-places dm-cow-turn.c \
		's/return sector && place >= block && place < end \? place : end;/(void)place; (void)block; return end;/'
	mutate gate-copies-after-failure dm-cow-gate.c \
		's/if \(cow->failed\)\s*return -EIO;//'
	mutate gate-takes-reserve dm-cow-gate.c \
		's/return free > COW_RESERVE_BLOCKS \? min\(nr, free - COW_RESERVE_BLOCKS\) : 0;/return min(nr, free);/'
	mutate exclusive-beside-group dm-cow-turn.c \
		's/if \(list_empty\(&cow->exclusives\) \|\| !nothing_in_flight\(cow\)\)/if (list_empty(\&cow->exclusives))/'
	mutate short-block-as-place dm-bow-enter.c \
		's/\tprotect_short_block\(cow\);/\t(void)protect_short_block; if (cow->geo.sectors \& (cow->geo.block_sectors - 1)) cow_map_set(\&cow->map, cow->geo.nr_blocks - 1, 1, COW_FREE);/'

	# ---- moves and marks --------------------------------------------------

	mutate mark-in-slot0 dm-cow-log.c \
		's/r = rewrite_slot\(log, io, 1\);/r = rewrite_slot(log, io, 0);/'
	mutate generation-stands-still dm-cow-log.c \
		's/= \+\+log->generation;/= log->generation;/'

	mutate move-slot1-no-first-flush dm-cow-log.c \
		's/(The new slot is whole before block 0 names it\.\.\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/'
	mutate move-slot1-no-second-flush dm-cow-log.c \
		's/return rewrite_slot\(log, io, 0\);/stamp(log); r = write_slot(log, io, 0); if (!r) log->newest = 0; return r;/'
	mutate move-seal-not-named dm-cow-move.c \
		's/cow->log\.head\.seal = place;\s*return [^;]*;/cow->log.head.seal = place; return 0;/'
	mutate move-live-not-named dm-cow-move.c \
		's/hidden->live = place;\s*return [^;]*;/hidden->live = place; return 0;/'
	mutate move-live-no-first-flush dm-cow-move.c \
		's/r = cow_flush\(cow->io\);/r = 0;/'
	mutate move-header-no-flush dm-cow-log.c \
		's/(Both pages before anything that relies on them\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/'
	mutate move-header-error-ignored dm-cow-move.c \
		's/(static int header_failed[^{]*\{\s*)if \(r\)/$1if (0)/'
	mutate move-after-failure dm-cow-move.c \
		's/ && !cow->failed; tries/; tries/'
	mutate move-failed-place-reused dm-cow-move.c \
		's/if \(!cow->failed\)\s*cow_map_set\(&cow->map, to, 1, COW_LOOSE\);/cow_map_set(\&cow->map, to, 1, COW_FREE);/'
	mutate move-failed-place-loose dm-cow-move.c \
		's/if \(!cow->failed\)\s*(cow_map_set\(&cow->map, to, 1, COW_LOOSE\);)/$1/'
	mutate move-failed-place-protected dm-cow-move.c \
		's/cow_map_set\(&cow->map, to, 1, COW_LOOSE\);/;/'
	mutate move-seal-written-again dm-cow-log.c \
		's/(log->newest = !log->newest;\s*)log->sealing = false;/$1/'
	mutate move-live-no-hold dm-cow-move.c \
		's/cow->env->hide_hold\(cow, index\);//'
	# The surroundings' part of that: reads count as well.
	mutate move-live-reads-not-drained tests/model/users.c \
		's/else if \(task->ur && task->ur->hidden == \(int\)index\)/else if (0)/'

	mutate slot1-not-disowned dm-cow-log.c \
		's/int r = disown_slot1\(log, io\);/int r = 0; (void)disown_slot1;/'
	mutate slot1-move-owned dm-cow-log.c \
		's/(log->head\.slot1 = place;\s*)stamp\(log\);/$1stamp_slot(log, 1);/'
	mutate slot1-first-owned dm-cow-log.c \
		's/(nothing ever will\. \*\/\s*)stamp\(log\);/$1stamp_slot(log, 1);/'

	# ---- reading the log --------------------------------------------------

	mutate read-predecessor-by-place dm-cow-picture.c \
		's/\tif \(!error && !same_log\(head, prev\)\)\s*return COW_LOG_FOREIGN;\s*if \(error \|\| prev->sequence[^\n]*\n[^\n]*head->prev_generation \|\|/\tif (error ||/'
	mutate read-torn-page dm-cow-log.c \
		's/return le32_to_cpu\(page->header\.records_crc\) ==\s*records_crc\(page, head->record_count\);/(void)page; (void)head; return true;/'
	mutate read-voids-ignored dm-cow-picture.c \
		's/if \(take_void\(pic, record\)\)/if (take_void(pic, record) \&\& 0)/'
	mutate read-data-unchecked dm-cow-picture.c \
		's/\*matches = cow_crc\([^;]*;/*matches = true; (void)crc;/'
	mutate read-torn-without-exception dm-cow-picture.c \
		's/if \(!\(b->features_compat & COW_FEATURE_SLOT1\)\)/if (0)/'
	mutate read-block0-unfinished dm-cow-picture.c \
		's/ \|\| slot0_unfinished\(slots\)//; s/static bool slot0_unfinished/static __attribute__((unused)) bool slot0_unfinished/'
	mutate read-block0-unfinished-forever dm-cow-picture.c \
		's/!\(b->features_compat & COW_FEATURE_SLOT1\) &&\s*same_records\(slots\) &&//'
	mutate read-live-named-by-block0 dm-cow-picture.c \
		's/(log->head\.slot1 = slots\[0\]\.head\.slot1;)/$1 memcpy(log->head.hidden, slots[0].head.hidden, sizeof(log->head.hidden));/'
	mutate read-generation-of-tail dm-cow-picture.c \
		's/(log->generation = )max\(log->generation,\s*slots\[i\]\.head\.generation\);/$1slots[newest].head.generation;/'
	mutate read-dropped-unchecked dm-cow-picture.c \
		's/if \(!intact\)\s*return COW_LOG_DROPPED_DATA;/(void)intact;/'
	mutate read-marked-dropped dm-cow-picture.c \
		's/if \(tail->head\.state != COW_LOG_CHECKPOINT\)\s*return COW_LOG_OK;//'
	mutate read-slot1-error-ignored dm-cow-picture.c \
		's/(error = read_page\(pic, slot->sector, slot->page, &slot->head\);\s*)if \(error == COW_LOG_IO\)\s*return error;/$1/'
	mutate read-page-error-ignored dm-cow-picture.c \
		's/(error = read_page\(pic, \*place, pic->page, prev\);\s*)if \(error == COW_LOG_IO\)\s*return error;/$1/'
	mutate read-hidden-unreadable-is-void dm-cow-picture.c \
		's/\(!in_tail \|\| is_hidden\(pic, record->source\)\)/!in_tail/; s/static bool is_hidden/static __attribute__((unused)) bool is_hidden/'
	mutate read-older-unreadable-is-void dm-cow-picture.c \
		's/\(!in_tail \|\| is_hidden\(pic, record->source\)\)/is_hidden(pic, record->source)/'
	mutate read-unreadable-blames-log dm-cow-picture.c \
		's/if \(error && error != COW_LOG_NO_MEMORY && pic->unreadable\)/if (0)/'
	mutate read-no-memory-blames-disk dm-cow-picture.c \
		's/if \(error && error != COW_LOG_NO_MEMORY && pic->unreadable\)/if (error \&\& pic->unreadable)/'
	mutate read-places-not-apart dm-cow-picture.c \
		's/\|\| range\)\s*return -EEXIST;/|| range)\n\t\treturn 0;/'
	mutate read-pending-place-shared dm-cow-picture.c \
		's/if \(places_meet\(&pic->voids\[i\], record\)\)/if (0 \&\& places_meet(\&pic->voids[i], record))/'

	# ---- enter, commit, restore -------------------------------------------

	mutate enter-no-flush-before-header dm-cow-log.c \
		's/(All that the header will name, before the header\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/'
	mutate enter-body-before-header dm-cow-log.c \
		's/r = cow_write\(io, 0, buf, first\);/r = sectors > first ? cow_write(io, first, (u8 *)buf + (first << 9), sectors - first) : 0;/; s/if \(!r && sectors > first\)\s*r = cow_write\(io, first, \(u8 \*\)buf \+ \(first << 9\), sectors - first\);/if (!r) r = cow_write(io, 0, buf, first);/'
	mutate enter-no-undo dm-bow-enter.c \
		's/if \(r && named && cow_put_back\([^;]*\)\)\s*cow->failed = true;/(void)named;/'
	mutate enter-undo-failure-ignored dm-bow-enter.c \
		's/(cow_put_back\([^;]*\)\)\s*)cow->failed = true;/$1cow->failed = false;/'
	mutate enter-frees-what-is-named dm-bow-enter.c \
		's/if \(r && !cow->failed\)\s*free_all/if (r)\n\t\tfree_all/'
	mutate enter-keeps-old-voids dm-bow-enter.c \
		's/cow->nr_voids = 0;//'
	mutate enter-reserve-unknown dm-bow-enter.c \
		's/ && cow_was_free\(cow, at\)//'
	mutate enter-hides-nothing-but-block0 dm-bow-enter.c \
		's/if \(head->hidden_count && head->hidden\[last\]\.source == source\)/if (head->hidden_count)/'
	mutate block0-in-one-piece dm-cow-finish.c \
		's/u32 first = io->atomic_sectors;/u32 first = sectors;/'
	mutate block0-header-before-body dm-cow-finish.c \
		's/if \(sectors > first\)\s*r = cow_write\(io, first, [^;]*;/r = cow_write(io, 0, buf, first);/; s/if \(!r\)\s*r = cow_write\(io, 0, buf, first\);/if (!r \&\& sectors > first) r = cow_write(io, first, (const u8 *)buf + (first << 9), sectors - first);/'
	mutate block0-no-flush-before-header dm-cow-finish.c \
		's/(As long as the header stands.*?)r = cow_flush\(io\);/$1r = 0;/s'
	mutate block0-no-last-flush dm-cow-finish.c \
		's/(r = cow_write\(io, 0, buf, first\);\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/'
	mutate commit-mark-only-in-memory dm-cow-finish.c \
		's/ \|\| !log->newest\)\)/))/'
	mutate restore-mark-only-in-slot0 dm-cow-finish.c \
		's/ \|\| !pic->log\.newest\)/)/'
	mutate commit-without-intent dm-cow-finish.c \
		's/r = cow_log_mark\(log, io, COW_LOG_COMMITTING\);/r = 0;/'
	mutate restore-without-mark dm-cow-finish.c \
		's/r = cow_log_mark\(&pic->log, pic->io, COW_LOG_RESTORING\);/r = 0;/'
	mutate restore-block0-with-others dm-cow-finish.c \
		's/if \(!to\) \{/if (0) {/'

	# ---- resume -----------------------------------------------------------

	mutate resume-over-newest dm-bow-resume.c \
		's/return cow_log_write_group\(&cow->log, cow->io\);/cow->log.newest = !cow->log.newest; return cow_log_write_group(\&cow->log, cow->io);/'
	mutate resume-without-voids dm-cow-adopt.c \
		's/cow->nr_voids = pic->nr_voids;/cow->nr_voids = 0;/'
	mutate resume-free-at-once dm-bow-resume.c \
		's/set_ranges\(cow, &pic->free, COW_LOOSE\);/set_ranges(cow, \&pic->free, COW_FREE);/'
	mutate resume-reserve-unprotected dm-bow-resume.c \
		's/(pic->reserve_start, pic->reserve_nr,\s*)COW_PROTECTED/$1COW_LOOSE/'
	mutate resume-reserve-twice dm-bow-resume.c \
		's/add_kept_reserve\(cow, pic, keep\);/(void)add_kept_reserve;/'
	mutate resume-void-place-loose dm-bow-resume.c \
		's/set_void_dests\(cow, pic, COW_PROTECTED\);//'
	mutate resume-void-place-freed-early dm-bow-resume.c \
		's/if \(r \|\| !usable\)/if (r)/'
	mutate resume-reserve-written dm-bow-resume.c \
		's/if \(!moved && !ours\)/if (!ours)/'
	mutate resume-ours-unprotected dm-bow-resume.c \
		's/(set_ranges\(cow, &pic->ours, )COW_PROTECTED/$1COW_LOOSE/'
	mutate resume-saves-twice dm-bow-resume.c \
		's/set_ranges\(cow, &pic->moved, COW_CHANGED\);//'
	mutate resume-though-perhaps-in-use dm-bow-resume.c \
		's/if \(perhaps_in_use\(cow, pic\)\)/if (0 \&\& perhaps_in_use(cow, pic))/'
	mutate resume-what-is-being-ended dm-bow-resume.c \
		's/if \(pic->log\.head\.state != COW_LOG_CHECKPOINT\)/if (0)/'
	mutate settle-loose-stays dm-bow-resume.c \
		's/cow_map_replace\(&cow->map, 0, cow->geo\.nr_blocks, COW_LOOSE, COW_PROTECTED\);//'
	mutate settle-changed-stays dm-bow-resume.c \
		's/cow_map_replace\(&cow->map, 0, cow->geo\.nr_blocks, COW_CHANGED, COW_PROTECTED\);//'
	mutate reclaim-changed dm-bow-resume.c \
		's/(cow_map_replace\(&cow->map, block, 1, COW_LOOSE, COW_FREE\);)/{ $1 cow_map_replace(\&cow->map, block, 1, COW_CHANGED, COW_FREE); }/'

	# ---- a log on a store -------------------------------------------------

	mutate apart-passes-before-the-end dm-cow-apart.c \
		's/if \(!cow->unlogged && !cow->withdrawn\)\s*end_log\(cow, &r\);/bool logged = !cow->unlogged \&\& !cow->withdrawn; cow_apart_leave(cow, error); if (logged) end_log(cow, \&r);/'
	mutate apart-end-beside-a-group dm-cow-apart.c \
		's/cow_run_exclusive\(cow, &cow->end\);/run_end(cow, \&cow->end);/'
	mutate apart-end-no-flush dm-cow-log.c \
		's/(int cow_log_end.*?)r = cow_flush\(io\);/$1r = 0;/s'
	mutate apart-not-ended dm-cow-apart.c \
		's/if \(!cow->unlogged && !cow->withdrawn\)\s*end_log\(cow, &r\);/(void)r;/'
	mutate apart-end-not-marked dm-cow-log.c \
		's/log->head\.state = COW_LOG_COMMITTING;//'
	mutate apart-begin-no-flush dm-cow-log.c \
		's/(All that the header will name, before the header\. \*\/\s*if \(!r\)\s*)r = cow_flush\(io\);/$1r = 0;/'
	mutate apart-begin-not-undone dm-cow-apart.c \
		's/if \(r && named\)/if (0)/'
	mutate apart-group-no-flush dm-cow-commit.c \
		's/cow->env->flush\(cow\);/cow_flush_done(cow, 0);/'
	mutate apart-group-error-ignored dm-cow-commit.c \
		's/if \(group->error\) \{\s*cow_fail_log\(cow\);\s*return;\s*\}//'
	mutate apart-group-error-not-told dm-cow-commit.c \
		's/cow_lose\(cow, -EIO\);\s*return;/cow->failed = true; cow->unlogged = true; cow->env->abandon(cow, -EIO); return;/'
	mutate apart-copy-error-ignored dm-cow-commit.c \
		's/(those who wait need not know\. \*\/\s*)cow_lose\(cow, -EIO\);/$1cow_map_set(\&cow->map, op->source, op->nr, COW_CHANGED);/'
	mutate apart-memory-error-abandons dm-cow-commit.c \
		's/cow_lose\(cow, -ENOMEM\);/cow->env->abandon(cow, -ENOMEM);/'
	mutate apart-full-abandons dm-cow-gate.c \
		's/cow_lose\(cow, -ENOSPC\);/cow->env->abandon(cow, -ENOSPC);/'
	mutate apart-source-without-base dm-cow.h \
		's/ \+ \(cow->apart \? COW_ORIGIN_BASE : 0\)//'
	mutate apart-end-of-store-not-raised dm-cow-log.c \
		's/head->store_sectors = max\(head->store_sectors, end\);/(void)end;/'
	mutate apart-seal-not-counted dm-cow-log.c \
		's/if \(log->head\.seal\)\s*note_place\([^;]*;//'
	mutate apart-places-in-the-way dm-cow-turn.c \
		's/if \(cow->apart\)\s*return end;[^\n]*//'
	mutate apart-resume-saves-twice dm-cow-apart.c \
		's/build_map\(cow, pic\);\s*cow_adopt_log/(void)build_map; cow_adopt_log/'
	mutate apart-resume-without-voids dm-cow-adopt.c \
		's/cow->nr_voids = pic->nr_voids;/cow->nr_voids = 0;/'
	mutate apart-resume-what-is-being-ended dm-cow-apart.c \
		's/if \(head->state != COW_LOG_CHECKPOINT\)/if (0)/'
	mutate apart-restore-without-mark dm-cow-finish.c \
		's/r = cow_log_mark\(&pic->log, pic->io, COW_LOG_RESTORING\);/r = 0;/'
	mutate apart-restore-no-flush dm-cow-finish.c \
		's/(All copies before the header.*?)r = cow_flush\(pic->io\);/$1r = 0;/s'
	mutate apart-erase-no-flush dm-cow-log.c \
		's/(int cow_log_erase.*?)r = cow_flush\(io\);/$1r = 0;/s'
	mutate apart-withdraw-nothing dm-cow-apart.c \
		's/(int cow_apart_withdraw.*?)r = cow_log_erase\(&cow->log, io\);/$1r = 0;/s'
	mutate apart-withdraw-error-ignored dm-cow-apart.c \
		's/(r = cow_log_erase\(&cow->log, io\);\n\tif \(r\)\n\t\t)cow_apart_end\(cow, -EIO\);\n\tcow->withdrawn = !r;\n\treturn r;/$1r = 0;\n\tcow->withdrawn = true;\n\treturn 0;/'
	mutate apart-reinstate-nothing dm-cow-apart.c \
		's/(int cow_apart_reinstate.*?)r = cow_write\(io, 0, cow->buf, io->atomic_sectors\);/$1r = 0;/s'
	mutate apart-reinstate-no-flush dm-cow-apart.c \
		's/(int cow_apart_reinstate.*?)r = cow_flush\(io\);/$1r = 0;/s'
	mutate apart-waiters-fail dm-cow-commit.c \
		's/if \(group->error && !cow->apart\)/if (group->error)/'
	mutate apart-restore-erases-first dm-cow-finish.c \
		's/(\/\* From here on no one may take)/if (cow_head_apart(\&pic->log.head)) r = cow_log_erase(\&pic->log, pic->io);\n\t$1/'

	# ---- speed ----------------------------------------------------------------

	mutate ahead-of-hidden-blocks dm-cow-ahead.c \
		's/to = before_hidden\(cow, end, to\);//'
	mutate ahead-held-against-writes dm-cow-commit.c \
		's/if \(op->ahead && op->read_error\)/if (0)/'
	mutate ahead-though-space-is-short dm-cow-ahead.c \
		's/ \|\| space_is_short\(cow\)//'
	mutate fua-for-some-is-for-all dm-cow-commit.c \
		's/(if \(!op->read_error && )!op->fua\)/$1 0)/'
	mutate fua-by-the-size-of-the-group dm-cow-commit.c \
		's/(static bool any_cached.*?)if \(!cow->fua\)\s*return true;.*?return false;/$1return !worth_fua(cow, group);/s'
	mutate fua-after-a-failed-backup dm-cow-commit.c \
		's/if \(op->write_error\)(\s*return true;)/if (0)$1/'
	mutate fua-flush-with-the-next-group dm-cow-commit.c \
		's/if \(op->write_error\)(\s*return true;)/if (0)$1/; s/(static bool any_cached.*?\{)/static bool unsure_;\n$1/s; s/if \(!cow->fua\)\s*return true;/if (!cow->fua || unsure_) return true;/; s/void_op\(cow, op\);/unsure_ |= !group->cached; void_op(cow, op);/; s/(if \(group->logged\)\s*settle_log\(cow, group\);)/$1 if (group->cached) unsure_ = false;/'
	mutate fua-page-in-the-cache dm-cow-commit.c \
		's/writes\[i\]\.fua = !group->cached;/writes[i].fua = false;/'
	mutate unread-copies-are-recorded dm-cow-commit.c \
		's/hand_over_unread\(group, cow->gathering\);//'
	mutate map-zone-not-noted dm-cow-map.c \
		's/if \(state & COW_LOOSE\)\s*note_passes\(map, index\);//'
	mutate checksum-of-another-tail dm-cow-log.c \
		's/log->summed = 0;//'
	mutate wait-though-others-cannot dm-cow-commit.c \
		's/list_empty\(&cow->deferred\) && list_empty\(&cow->exclusives\)/1/'
}

# ---- listing ---------------------------------------------------------------

list() {
	mutate() { echo "$1"; }
	mutations
}

# ---- one mutation ----------------------------------------------------------

result() { # VERDICT NAME WHAT
	printf '%-9s %-32s %s\n' "$1" "$2" "$3"
	[ "$1" = caught ]
}

apply() { # FILES PROGRAM: false, and the name in $stale, if a file is the same
	for file in $1; do
		case $file in
		*/*) path=$work/src/$file ;;
		*) path=$work/src/drivers/md/$file ;;
		esac
		cp "$path" "$work/before" || return
		perl -0pi -e "$2" "$path" || return
		stale=$file
		if cmp -s "$work/before" "$path"; then return 1; fi
	done
}

explore() { # PROGRAM STATES NAME
	if ! make -s -C "$work/src/tests/model" B="$work/build" \
	     "$work/build/$1" >"$work/log" 2>&1; then
		sed 's/^/  /' "$work/log"
		result STALE "$3" "does not build"
		return 2
	fi
	"$work/build/$1" --seed "$seed" --states "$2" --no-shrink >"$work/log" 2>&1
	if [ $? -gt 128 ]; then
		result caught "$3" "$1: it crashes"
		return
	fi
	grep -q '^FAILED, seed' "$work/log" || return 1
	result caught "$3" "$1: $(sed -n 's/^FAILED, //p' "$work/log" | head -n 1 | cut -c1-100)"
}

try() { # NAME FILES PROGRAM
	work=$(mktemp -d "$base/XXXXXX") || exit 2
	trap 'rm -rf "$work"' EXIT
	trap 'exit 2' INT TERM
	cp -rp "$base/src" "$base/build" "$work" || exit 2
	stale=
	if ! apply "$2" "$3"; then
		result STALE "$1" "nothing to change in $stale"
		return 1
	fi
	# Those of a log on a store have an explorer of their own.
	small=model-small big=model
	case $1 in apart-*) small=model-apart-small big=model-apart ;; esac
	explore $small "$states" "$1"
	case $? in 0) return 0 ;; 2) return 1 ;; esac
	# A matter of seconds; large sizes take minutes, and find little that is new.
	if ! make -s -C "$work/src/tests/unit" B="$work/build" check \
	     >"$work/log" 2>&1; then
		result caught "$1" "unit tests: $(grep -m1 '^not ok' "$work/log")"
		return
	fi
	explore $big "$states" "$1"
	case $? in 0) return 0 ;; 2) return 1 ;; esac
	result SURVIVED "$1" "$states states with both sizes, and the unit tests"
}

# What is the same for all: the sources, and the objects made from them.
prepare() {
	base=$(mktemp -d) || exit 2
	export base
	trap 'rm -rf "$base"' EXIT
	trap 'exit 2' INT TERM
	mkdir -p "$base/src/drivers" "$base/src/tests" &&
	cp -rp "$top/drivers/md" "$base/src/drivers/" &&
	cp -rp "$top/include" "$top/userspace" "$base/src/" &&
	cp -rp ../common ../model ../unit "$base/src/tests/" &&
	make -s -j "$jobs" -C "$base/src/tests/model" B="$base/build" || exit 2
}

one() {
	wanted=$1
	found=
	mutate() {
		if [ "$1" = "$wanted" ]; then
			found=y
			try "$@"
			exit
		fi
	}
	mutations
	[ "$found" ] || result STALE "$wanted" "no such mutation"
}

# ---- all of them -----------------------------------------------------------

jobs=2
while getopts j:l1: opt; do
	case $opt in
	j) jobs=$OPTARG ;;
	l) list; exit ;;
	1) one "$OPTARG"; exit ;;
	*) sed -n '4,/^$/s/^# \{0,1\}//p' mutate.sh >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

# shellcheck disable=SC2046 # names have no spaces
[ $# -gt 0 ] || set -- $(list)
prepare
printf '%s\n' "$@" | xargs -n 1 -P "$jobs" ./mutate.sh -1 | tee "$base/table"
caught=$(grep -c '^caught' "$base/table")
echo "$caught of $# caught"
[ "$caught" -eq $# ]
