#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Break one thing at a time in the kernel modules or in the tools, and see the test in
# the virtual machine that is there for it fail.
#
#   mutate.sh [-c|-l] [NAME...]
#
# A NAME is that of a mutation, or its first letters; all of them by default, -l lists
# them, -c only sees that each still changes something. It begins with the number of the test that must notice: that one runs, in a
# machine of its own. The tests are those of this tree, and nothing is changed here;
# what is built is a copy. TAP comes out: "ok" if the test failed, and what it said.
# One that does not apply any more, does not build or gets no verdict is "not ok" as
# well. That the tests pass if nothing is broken is for `make check` to show.
#
# $RUN is put before the command that starts each machine, as `nice`; $KERNEL is 6.12 by
# default. $WORK keeps the copy in that directory, for the next time.

set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd -P)
kernel=${KERNEL:-6.12}
read -ra run <<<"${RUN-}"
names=() n=0 missed=0

# ---- what is broken -----------------------------------------------------------------

# NAME, then pairs: a file (in drivers/md, or with a slash below the top), and a perl
# program for it as a whole.
# shellcheck disable=SC2016
mutations() {
	# ---- hostile logs ---------------------------------------------------------

	mutate 310-end-of-store-falls-back dm-cow-picture.c \
		's/\t    prev->store_sectors > head->store_sectors \|\|\n//'
	mutate 310-voids-forgotten dm-cow-apart.c \
		's/\tcow_adopt_log\(cow, pic\);/\tpic->nr_voids = 0;\n$&/'
	mutate 310-no-sides dm-cow-picture.c \
		's/return !store \|\| \(record/return 1 || !store || (record/'

	# ---- bow: errors ----------------------------------------------------------

	mutate 320-backup-error dm-cow-copy.c \
		's/(static void write_end_io.*?copy->error = )blk_status_to_errno\(bio->bi_status\);/${1}0;/s'
	mutate 320-read-error dm-cow-copy.c \
		's/(static void read_end_io.*?copy->error = )blk_status_to_errno\(bio->bi_status\);/${1}0;/s'
	mutate 320-flush-error dm-cow-bio.c \
		's/(dev->flush_error, )blk_status_to_errno\(bio->bi_status\)/${1}0/'
	mutate 320-page-error dm-cow-bio.c \
		's/(dev->page_error, )blk_status_to_errno\(bio->bi_status\)/${1}0/'
	mutate 320-no-retry dm-cow.h \
		's/(#define COW_BACKUP_TRIES) 3/$1 1/'
	mutate 320-changed-early dm-cow-commit.c \
		's/(\t\/\* Backups and pages before the writes that wait for them)/\t{ struct cow_op *o; list_for_each_entry(o, &group->ops, node) if (!o->read_error && !o->write_error) cow_map_set(&cow->map, o->source, o->nr, COW_CHANGED); }\n$1/'
	mutate 320-bad-place-again dm-cow-commit.c \
		's/(\t\tvoid_op\(cow, op\);\n)/$1\t\tcow_map_set(&cow->map, op->dest, op->nr, COW_FREE);\n/'
	mutate 320-no-event dm-cow-commit.c \
		's/\tcow->env->event\(cow, COW_EVENT_FAILED\);\n//'
	mutate 321-flush-error dm-cow-bio.c \
		's/return r \? r : blkdev_issue_flush\(dev->bdev\);/if (!r)\n\t\tblkdev_issue_flush(dev->bdev);\n\treturn r;/'
	mutate 321-no-retry dm-cow-move.c \
		's/tries < COW_BACKUP_TRIES/tries < 1/'
	mutate 321-header-error dm-cow-move.c \
		's/\tif \(r\)\n\t\tcow_fail_log\(cow\);\n\treturn r;/\t(void)cow;\n\treturn 0 * r;/'
	mutate 321-not-broken dm-bow-map.c \
		's/hidden->broken = dev->cow\.failed;/hidden->broken = false;/'
	mutate 321-held-forever dm-cow-commit.c \
		's/\tcow_release_held\(cow, 0\);\n(\}\nEXPORT_SYMBOL_GPL\(cow_fail_log\))/$1/'
	mutate 322-not-broken dm-bow-map.c \
		's/hidden->broken = dev->cow\.failed;/hidden->broken = false;/'
	mutate 322-undo-ignored dm-bow-enter.c \
		's/(cow_put_back\([^;]*\)\)\s*)cow->failed = true;/$1cow->failed = false;/'
	mutate 322-no-undo dm-bow-enter.c \
		's/if \(r && named && cow_put_back/if (r \&\& named \&\& 0 \&\& cow_put_back/'
	mutate 322-commit-not-failed dm-bow-state.c \
		's/\t\tcow->failed = true;\n(\t\tDMERR\("%s: cannot commit)/$1/'
	mutate 322-commit-error dm-cow-finish.c \
		's/return r \? r : cow_put_back\(log, geo, io, buf\);/if (!r)\n\t\tcow_put_back(log, geo, io, buf);\n\treturn r;/'
	mutate 322-resume-error dm-bow-resume.c \
		's/return (cow_log_write_group\(&cow->log, cow->io\);)/$1\n\treturn 0;/'
	mutate 322-restore-error dm-cow-finish.c \
		's/r = (copy_gathered\(&restore\);\n\t\/\* All copies)/$1/'

	# ---- bow: memory ----------------------------------------------------------

	mutate 330-no-bound dm-cow-copy.c \
		's/(#define MAX_PAGES) \(SZ_16M/$1 (SZ_64M/'
	mutate 330-not-given-back dm-cow-copy.c \
		's/(copier->pages -= copy->nr_pages;\n)\tcount\(dev, copy, -1\);\n/$1/'
	mutate 330-no-reserve dm-cow-copy.c \
		's/\tif \(copier->stacked\)\n\t\treturn copier->stack\[--copier->stacked\];\n//'
	mutate 280-pages dm-cow-copy.c \
		's/\twhile \(copier->stacked\)\n\t\t__free_page\(copier->stack\[--copier->stacked\]\);\n//'
	mutate 280-bits dm-bow-state.c \
		's/\tvfree\(bow->discarded\);\n//'

	# ---- blksnap: memory ------------------------------------------------------

	mutate 281-kept dm-blksnap-epoch.c \
		's/\tcow_ranges_exit\(&epoch->kept\);\n//'
	mutate 281-changes dm-blksnap-cbt.c \
		's/\tcow_free\(cbt->entries\);\n//'
	mutate 281-thread dm-blksnap-keep.c \
		's/\tdestroy_workqueue\(keep->wq\);\n//'
	mutate 331-no-bound dm-cow-copy.c \
		's/(#define MAX_PAGES) \(SZ_16M/$1 (SZ_64M/'
	mutate 331-index-uncounted dm-blksnap-origin.c \
		's/\t\tfigures->memory \+= epoch->kept\.bytes[^;]*;\n//'
	mutate 331-no-reserve dm-cow-copy.c \
		's/\tif \(copier->stacked\)\n\t\treturn copier->stack\[--copier->stacked\];\n//'

	# ---- bow: the rest --------------------------------------------------------

	mutate 140-rounded-outward dm-bow-map.c \
		's/(u64 start = bio->bi_iter\.bi_sector) \+ geo->block_sectors - 1;/$1;/'
	mutate 140-write-stays-free dm-bow-map.c \
		's/(Out of the free set before.*?cow_bio_touches\([^;]*;\n)\t\tcow_map_replace\([^;]*;\n/$1/s'
	mutate 180-block0-first dm-cow-finish.c \
		's/\tif \(sectors > first\)\n(\t\tr = cow_write\(io, first,[^;]*;\n)(.*?)\tif \(!r\)\n(\t\tr = cow_write\(io, 0, buf, first\);\n)/$3$2\tif (!r \&\& sectors > first)\n$1/s'
	mutate 180-resume-free dm-bow-resume.c \
		's/set_ranges\(cow, &pic->free, COW_LOOSE\);/set_ranges(cow, \&pic->free, COW_FREE);/'
	mutate 200-last-block-passes dm-cow-dev.h \
		's/bio_end_sector\(bio\) - 1\) - \*first \+ 1;/bio_end_sector(bio)) - *first;/'
	mutate 220-ext4-offers-once userspace/lib/trim.c \
		's/"ext4"\)\)\n(\t\text4_offer)/"ext5"))\n$1/'
	mutate 220-no-warning userspace/lib/trim.c \
		's/return (trim_collected\(trim\) \* 100 <)/return 0 \&\& $1/'
	mutate 250-hold-fails dm-cow-gate.c \
		's/else if \(on_full == COW_FULL_HOLD && cow->holding\)/else if (0)/'
	mutate 250-commit-fails dm-cow-gate.c \
		's/if \(on_full == COW_FULL_COMMIT && !cow->failed\)/if (0)/'
	mutate 250-fail-passes dm-cow-gate.c \
		's/(else \{\n\t\tcow->env->release\(cow, waiter, )-ENOSPC/${1}0/'
	mutate 140-secure-erase dm-bow-target.c \
		's/(\tti->num_discard_bios = 1;\n)/$1\tti->num_secure_erase_bios = 1;\n/'
	mutate 260-discard-passes dm-bow-map.c \
		's/return complete_bio\(bio\);(\n\}\n\nstatic int map_checkpoint)/return pass_discard(bow, bio);$1/'
	mutate 260-discard-frees dm-bow-map.c \
		's/(\tcovered\(bow, bio, &first, &nr\);\n\tif \(discarded\))/\tset_free(bow, bio);\n$1/'
	mutate 270-holders userspace/lib/mnt.c \
		's/dir = opendir\(path\);(\n\twhile \(dir && !found)/dir = NULL;$1/'
	mutate 270-damage dm-cow-picture.c \
		's/\*matches = cow_crc\([^;]*;/*matches = true; (void)crc;/'

	# ---- blksnap: the tool, and all at one instant ----------------------------------

	mutate 400-not-frozen userspace/lib/critical.c \
		's/crit->no_lockfs && !dm_task_skip_lockfs/!dm_task_skip_lockfs/'
	mutate 400-lowest-first userspace/snap/cmd-take.c \
		's/(return \()(y->depth > x->depth\)) - (\(y->depth < x->depth\))/${1}x->depth > y->depth) - (x->depth < y->depth)/'
	mutate 400-store-not-wiped userspace/snap/snap-store.c \
		's/if \(blkid_do_wipe\(probe, 0\)\)/if (1)/'
	mutate 400-detached-with-snapshots userspace/snap/cmd-detach.c \
		's/if \(dev->snapshots \|\| strcmp\(dev->state, "idle"\)\)/if (0)/'
	mutate 400-store-on-the-origin userspace/snap/snap-store.c \
		's/if \(snap_above\(dev, origin->number\) \|\| snap_above\(dev, origin->lower\)\)/if (0)/'
	mutate 400-plain-device userspace/snap/snap-dev.c \
		's/\tif \(r && is_plain\(name, &number\)\)\n\t\treturn refuse_plain\(name, number\);\n/\t(void)is_plain;\n\t(void)refuse_plain;\n\t(void)number;\n/'
	mutate 401-one-after-the-other userspace/lib/critical.c \
		's/(failed_at\(crit, CRITICAL_SUSPEND, i, err\);\n)(\t\tend = now_ms)/$1\t\telse if (i < steps->nr_acts \&\& !run_step(\&steps->act[i]))\n\t\t\trun_step(\&steps->resume[i]);\n$2/; s/\tact_all\(crit, steps\);\n//'
	mutate 401-guardian-resumes-nothing userspace/lib/critical.c \
		's/\tresume_all\(steps\);\n(\twait_for_all\(steps\);\n\tif \(crit->undo\))/$1/'
	mutate 401-guardian-leaves-images userspace/lib/critical.c \
		's/\tif \(crit->undo\)\n\t\tcrit->undo\(crit->data\);\n(\t_exit)/$1/'
	mutate 401-signal-leaves-images userspace/lib/critical.c \
		's/(crit->undo && \(crit->error) \|\| crit->interrupted\)/$1)/'
	mutate 401-late-and-going-on userspace/lib/critical.c \
		's/( && read\(guardian->answers, &late, 1\) == 1) && !late;/$1;/'
	mutate 401-late-and-another-blamed userspace/lib/critical.c \
		's/CRITICAL_SUSPEND, slowest, ETIMEDOUT/CRITICAL_SUSPEND, 0 * slowest, ETIMEDOUT/'
	mutate 401-not-frozen-and-going-on userspace/lib/critical.c \
		's/\t\terr = run_step\(&steps->suspend\[i\]\);\n/$&\t\tif (err == EIO)\n\t\t\terr = 0;\n/'
	mutate 402-keyring userspace/snap/snap-swap.c \
		's/crit->error == EAGAIN \|\| crit->error == ENOKEY/crit->error == EAGAIN/'
	mutate 402-plain-text userspace/snap/cmd-take.c \
		's/if \(snap_encrypted\(origin->number\) && !snap_encrypted\(store\)\)/if (0)/'
	mutate 402-detached-to-another-table userspace/snap/cmd-detach.c \
		's/\t\tswap\.new_table = below;\n//'

	# ---- blksnap: images ------------------------------------------------------------

	mutate 411-last-block-passes dm-cow-dev.h \
		's/(\*nr = [^;]* - \*first \+ 1;)/$1\n\t*nr -= *nr > 1;/'
	mutate 411-short-end dm-blksnap-io.c \
		's/u32 sectors = cow_run_sectors\(&snap->cow->geo, request->block, 1\);/u32 sectors = epoch->block_sectors;/'
	mutate 411-zeroes-pass dm-blksnap-origin.c \
		's/(\tif \(!must_wait\(origin, bio, waiter\))/\tif (bio_op(bio) == REQ_OP_WRITE_ZEROES)\n\t\treturn pass(origin, bio);\n$1/'
	mutate 411-discard-passes dm-blksnap-origin.c \
		's/(Advice; what is discarded now[^\n]*\n)\t\tbio_endio\(bio\);\n\t\treturn DM_MAPIO_SUBMITTED;/$1\t\treturn pass(origin, bio);/'
	mutate 411-secure-erase dm-blksnap-origin.c \
		's/(\tti->num_discard_bios = 1;\n)/$1\tti->num_secure_erase_bios = 1;\n/'
	mutate 410-zones dm-cow-dev.c \
		's/if \((bdev_is_zoned\(bdev\)\))/if (0 && $1/'
	mutate 410-no-room-is-an-error dm-blksnap-epoch.c \
		's/(fail\(snap, request, )-ENOSPC/$1-EIO/'
	mutate 410-readers-overtaken dm-cow-commit.c \
		's/return !atomic_read\(&cow->readers\[cow->readers_now \^ 1\]\);/(void)cow;\n\treturn true;/'
	mutate 410-loss-untold dm-blksnap-io.c \
		's/\tsnap_store_tell_image\(epoch_to_image\(epoch\)\);\n//'
	mutate 410-read-error-kept dm-cow-commit.c \
		's/if \(cow->apart && \(op->read_error \|\| op->write_error\)\)/if (cow->apart \&\& op->write_error)/'
	mutate 412-own-epoch-only dm-blksnap-epoch.c \
		's/(place\.store = epoch->store;\n\t\t\tbreak;\n\t\t\}\n)/$1\t\tbreak;\n/'
	mutate 412-needed-epoch-freed dm-blksnap-epoch.c \
		's/(\t\tif \(epoch->has_image \|\| epoch->held\)\n\t\t\t)return;/$1continue;/'
	mutate 412-late dm-blksnap-arm.c \
		's/static int arm\(/unsigned long late;\n$&/; s/(\tsmp_store_release\(&origin->armed, true\);)/\tlate = jiffies + HZ;\n$1/' \
		dm-blksnap-origin.c \
		's/static int map_armed\(/extern unsigned long late;\n$&/; s/(if \()(!must_wait\(origin, bio, waiter\)\))/${1}time_before(jiffies, late) || $2/'
	mutate 412-older dm-blksnap-epoch.c \
		's/list_for_each_entry_from\(epoch, &snap->epochs, node\)/list_for_each_entry(epoch, \&snap->epochs, node)/'
	mutate 413-origin-gone-unnoticed dm-blksnap-origin.c \
		's/\t\tcow_dev_call\(&origin->dev, abandon_all, &removed, true\);\n/\t\t(void)abandon_all;\n\t\t(void)removed;\n/'
	mutate 413-origin-without-device dm-cow-dev.c \
		's/if \(dev->md && dm_disk\(dev->md\) == disk\)/if (dm_disk(dev->md) == disk)/'
	mutate 413-read-error-kept dm-cow-commit.c \
		's/if \(cow->apart && \(op->read_error \|\| op->write_error\)\)/if (cow->apart \&\& op->write_error)/'
	mutate 413-store-not-held dm-blksnap-image.c \
		's/r = snap_store_hold\(it->opened, it->persistent\);/r = 0;/'
	mutate 413-store-unclaimed dm-blksnap-store.c \
		's/(store->users && !store->claim\.bdev)\)\n\t\tclaim\(store\);/$1 \&\& 0)\n\t\tclaim(store);/'
	mutate 413-claim-kept dm-blksnap-store.c \
		's/\tif \(store->claim\.bdev\)\n\t\tcow_bdev_close\(&store->claim\);\n//'
	mutate 413-taken-unnoticed dm-blksnap-store.c \
		's/\tWRITE_ONCE\(store->taken, true\);\n//'
	mutate 413-taken-and-read dm-blksnap-io.c \
		's/(offset = [^\n]*\n\n\tif \()is_taken\(place\)/${1}0/'
	mutate 413-taken-and-copied dm-blksnap-io.c \
		's/(pb->blanked = 0;\n\tif \()is_taken\(place\)/${1}0/'
	mutate 413-taken-and-written dm-blksnap-store.c \
		's/\tif \(READ_ONCE\(store->taken\)\)\n\t\treturn 0;\n//'
	mutate 414-image-writes-to-the-origin dm-blksnap-epoch.c \
		's/if \(request->is_write\) \{\n\t\t\tmake_own/if (0) {\n\t\t\tmake_own/'
	mutate 414-copy-forgotten dm-cow-commit.c \
		's/(if \(!op->read_error && !op->write_error && )cow->env->keep\(cow, op\)/${1}0/'

	# ---- blksnap: files as stores ---------------------------------------------------

	mutate 420-not-blank dm-blksnap-epoch.c \
		's/\t\trequest->blank = true;\n//'
	mutate 420-place-not-kept dm-blksnap-inside.c \
		's/\tfor \(i = 0; !r && i < pin->nr && READ_ONCE\(origin->armed\); i\+\+\)\n\t\ttouch/\tfor (i = pin->nr; i < pin->nr; i++)\n\t\ttouch/'
	mutate 420-a-store-at-once-unmarked dm-blksnap-inside.c \
		's/(\t\torigin->file_changes\+\+;\n)\t\tmark_file\(origin, pin\);\n/$1/'
	mutate 420-a-store-no-more-unmarked dm-blksnap-inside.c \
		's/\tmark_file\(origin, &file->pin\);\n//'
	mutate 420-store-tracked dm-blksnap-file.c \
		's/(\tif \(left < bio_sectors\(bio\)\)\n)/\tif (file->origin && op_is_write(bio_op(bio)))\n\t\tsnap_origin_mark(file->origin, bio->bi_iter.bi_sector, bio_sectors(bio));\n$1/'
	mutate 420-not-a-swapfile dm-blksnap-pin.c \
		's/\tinode->i_flags \|= S_SWAPFILE;\n//'
	mutate 420-origin-under-a-file dm-blksnap-origin.c \
		's/(if \(!r && )snap_file_on\(dm_disk\(ot->origin->dev\.md\), ot->origin\)/${1}0/'
	mutate 420-somebody-elses-file userspace/snap/snap-file.c \
		's/\t\tif \(!is_file\(dir, base, dev, inode\)\)\n\t\t\treturn -ESTALE;\n//'

	mutate 421-extents-unread dm-blksnap-file.c \
		's/ft->nr_extents != pin->nr \|\| //'
	mutate 421-checksum-unread dm-blksnap-file.c \
		's/ \|\| ft->crc != pin->crc//'

	mutate 421-encrypted userspace/snap/snap-fiemap.c \
		's/\t\{ STATX_ATTR_ENCRYPTED, "is encrypted" \},\n//'
	mutate 421-shared userspace/snap/snap-fiemap.c \
		's/\t\{ FIEMAP_EXTENT_SHARED, [^\n]*\n//'
	mutate 422-not-a-swapfile dm-blksnap-pin.c \
		's/\tinode->i_flags \|= S_SWAPFILE;\n//'

	# ---- blksnap: changed blocks ----------------------------------------------------

	mutate 430-image-writes-unmarked dm-blksnap-io.c \
		's/\tif \(op_is_write\(bio_op\(bio\)\)\)\n\t\tmark\(image, bio\);\n/\t(void)mark;\n/'
	mutate 430-marked-once dm-blksnap-cbt.c \
		's/if \(last_of\(old\) == epoch\)\n/if (last_of(old))\n/'
	mutate 430-last-block dm-blksnap-cbt.c \
		's/(end = \(\(sector \+ nr - 1\) >> cbt->shift\)) \+ 1;/$1;/'
	mutate 430-ranges-merged userspace/snap/snap-changes.c \
		's/if \(start != walk->end\)/if (start > walk->end + walk->block)/'
	mutate 430-slow userspace/snap/snap-changes.c \
		's/(\tstatus = read_map\(fd, &walk, image, bytes\);\n)/\tsleep(2);\n$1/'
	mutate 430-generation-outlives-the-table dm-blksnap-origin.c \
		's/\t\tsnap_cbt_restart\(&origin->cbt\);\n//'
	mutate 431-loss-untold dm-blksnap-keep.c \
		's/\tsnap_origin_tell\(keep->origin\);\n//'
	mutate 431-told-again dm-blksnap-keep.c \
		's/keep->track\.lost && !keep->told;/keep->track.lost;/'
	mutate 431-monitor-silent userspace/snap/cmd-monitor.c \
		's/dev->kind == SNAP_ORIGIN && dev->tracking_lost/0/'
	mutate 440-change-unnoticed userspace/snap/cmd-export.c \
		's/(snprintf\(text, EXPORT_STAMP, "%llu:%llu", )written, discarded\);/${1}0ULL, 0ULL);/'
	mutate 440-mounted userspace/snap/cmd-export.c \
		's/bool writable = /bool writable = 0 \&\& /'
	mutate 440-half-applied-unsaid userspace/snap/cmd-apply.c \
		's/(applying_time = [^\n]*\n\tstatus = )sidecar_write\(req->full, side\);/${1}BOW_OK;/'

	# ---- blksnap: growth ------------------------------------------------------------

	mutate 450-event-after-event dm-blksnap-store.c \
		's/\timage->low = true;\n//'
	mutate 450-no-end dm-blksnap-store.c \
		's/return \*start < size \? size - \*start : 0;/return 1 << 20;/'
	mutate 450-low-for-ever dm-blksnap-store.c \
		's/low = sectors_left\(store\) < image->low_water;/low = image->low;/'
	mutate 451-any-place dm-blksnap-file.c \
		's/\t\tif \(!fits\(ft, other\)\)\n/\t\tif (0 \&\& !fits(ft, other))\n/'
	mutate 451-name-taken userspace/snap/snap-grow.c \
		's/\t\tif \(!lstat\(growth->path, &st\)\)\n\t\t\tcontinue;\n/\t\tif (!lstat(growth->path, \&st))\n\t\t\treturn BOW_OK;\n/'
	mutate 451-loss-untold userspace/snap/cmd-monitor.c \
		's/\t\ttell\(mon, "lost", dev->name, text\);\n//'
	mutate 452-place-not-kept dm-blksnap-inside.c \
		's/\tfor \(i = 0; !r && i < pin->nr && READ_ONCE\(origin->armed\); i\+\+\)\n\t\ttouch/\tfor (i = pin->nr; i < pin->nr; i++)\n\t\ttouch/'
	mutate 452-no-room dm-blksnap-inside.c \
		's/return needed > snap_left\(&origin->snap\) \? -ENOSPC : 0;/return 0 * needed;/'
	mutate 462-log-of-before-kept userspace/snap/snap-file.c \
		's/\tif \(!status && store->created\)\n\t\tstatus = wipe_start\(store\);\n/\t(void)wipe_start;\n/'
	mutate 462-log-swept-away userspace/snap/snap-file.c \
		's/return file->open_count \|\| snap_store_has_log\(file->number, 0\);/return file->open_count;/'
	mutate 462-moved-and-believed dm-cow-picture.c \
		's/\*matches = cow_crc\([^;]*;/*matches = true; (void)crc;/'
	mutate 464-blocks-of-the-store-kept dm-blksnap-inside.c \
		's/\t\tr = snap_epoch_blank\(&image->epoch, pin->extents\[i\]\.place,/\t\tr = 0 * snap_epoch_blank(\&image->epoch, pin->extents[i].place + 1024,/'
	mutate 464-sector-mistold userspace/snap/cmd-take.c \
		's/(\(unsigned long long\)req->store\.first),/$1 + 8,/'
	mutate 465-begun-and-kept dm-cow-apart.c \
		's/\tif \(r && named\)\n\t\tend_log\(cow, &ended\);/\t(void)ended;/'
	mutate 465-end-not-marked dm-cow-log.c \
		's/\t\treturn mark_ended\(log, io\);/\t\treturn 0 * sizeof(mark_ended);/'
	mutate 465-stale-unsaid dm-cow-apart.c \
		's/\tif \(\*r\)\n\t\tcow->env->event/\tif (0)\n\t\tcow->env->event/'
	mutate 465-loss-untold dm-blksnap-origin.c \
		's/(SNAP_FORGOTTEN : SNAP_FAILED\);\n)\tsnap_origin_tell\(origin\);\n/$1/'
	mutate 465-header-not-put-back dm-cow-apart.c \
		's/(Before anything is written to the origin.*?\tif \()r\)/${1}0 * r)/s'
	mutate 465-store-gone-unnoticed dm-blksnap-image.c \
		's/\t\tsnap_log_lost\(origin\);/\t\t(void)snap_log_lost;/'

	# ---- bow boot -------------------------------------------------------------

	mutate 500-old-resumes userspace/boot/rules.c \
		's/if \(!new \|\| !count_attempt/if (new && !count_attempt/'
}

# ---- one of them ----------------------------------------------------------------------

verdict() { # ok|"not ok" NAME WHAT
	n=$((n + 1))
	[ "$1" = ok ] || missed=$((missed + 1))
	echo "$1 $n - $2: ${3//#/} ($((SECONDS - began)) s)"
}

path_of() {
	case $1 in
	*/*)	echo "$1" ;;
	*)	echo "drivers/md/$1" ;;
	esac
}

# Files of the copy that are not those of the tree. What is newer is built again.
refresh() { # DIRECTORY...
	local f

	(cd "$top" && find "$@" -type f -print0) | while IFS= read -r -d '' f; do
		cmp -s "$top/$f" "$work/src/$f" && continue
		mkdir -p "$work/src/${f%/*}"
		cp --preserve=mode "$top/$f" "$work/src/$f"
	done
}

# True if every file is another one now, else $why says which is not.
break_it() { # FILE PROGRAM...
	local file

	while [ $# -gt 0 ]; do
		file=$(path_of "$1")
		why="nothing to change in $1"
		[ -e "$top/$file" ] || return
		perl -0pi -e "$2" "$work/src/$file"
		! cmp -s "$top/$file" "$work/src/$file" || return
		shift 2
	done
}

build() {
	"$work/src/scripts/build-modules" "$kernel" && make -s -C "$work/src/userspace"
}

build_all() {
	build && DM_COW_SRC=$work/src/tests/vm/kmod DM_COW_SUB=tests \
		"$work/src/scripts/build-modules" "$kernel"
}

# What the test said, or what else shows that it failed; nothing if it did not.
judge() { # TEST
	local said

	said=$(sed -n '/^# FAILED[^:]*: /{s///p;q}' "$work/out")
	if grep -q "^not ok [0-9]* - $1" "$work/out"; then
		said=${said:-$(sed -n "/^not ok [0-9]* - $1/{s/^not ok [0-9]* - //p;q}" "$work/out")}
	else
		said=$(sed -n '/^not ok [0-9]* - console/{s/^not ok [0-9]* - //p;q}' "$work/out")
	fi
	echo "$said"
}

try() { # NAME FILE PROGRAM...
	local name=$1 test=${1%%-*} rc=0 said

	shift
	began=$SECONDS
	refresh drivers userspace
	if ! break_it "$@"; then
		verdict "not ok" "$name" "STALE: $why"
		return
	fi
	if ! build >"$work/out" 2>&1; then
		sed 's/^/# /' "$work/out"
		verdict "not ok" "$name" "STALE: does not build"
		return
	fi
	CHECK_LOGS=$work/logs "${run[@]}" "$work/src/tests/vm/run" --any -k "$kernel" "$test" \
		>"$work/out" 2>&1 || rc=$?
	cp "$work/out" "$logs/$name"
	said=$(judge "$test")
	if [ $rc = 0 ]; then
		verdict "not ok" "$name" "SURVIVED"
	elif grep -qE '\(status 12[34]\)$' "$work/out" || [ -z "$said" ]; then
		tail -n 20 "$work/out" | sed 's/^/# /'
		verdict "not ok" "$name" "no verdict"
	else
		verdict ok "$name" "caught: $said"
	fi
}

# ---- all of them ------------------------------------------------------------------------

wanted() { # NAME
	local w

	[ ${#names[@]} -gt 0 ] || return 0
	for w in "${names[@]}"; do
		[[ $1 != "$w"* ]] || return 0
	done
	return 1
}

list() {
	mutate() {
		! wanted "$1" || echo "$1"
	}
	mutations
}

prepare() {
	work=${WORK:-}
	if [ -z "$work" ]; then
		work=$(mktemp -d "${TMPDIR:-/tmp}/vm-mutations.XXXXXX")
		trap 'rm -rf "$work"' EXIT
	fi
	logs=$top/build/mutations
	mkdir -p "$work/src" "$work/logs" "$logs"
	refresh ./META drivers include userspace tests scripts
	if ! build_all >"$work/out" 2>&1; then
		cat "$work/out"
		exit 2
	fi
}

# Would it change every file? Says which it would not.
applies() { # NAME FILE PROGRAM...
	local name=$1 file

	shift
	while [ $# -gt 0 ]; do
		file=$top/$(path_of "$1")
		if perl -0pe "$2" "$file" | cmp -s - "$file"; then
			echo "$name: nothing to change in $1"
			missed=$((missed + 1))
		fi
		shift 2
	done
}

check_all() {
	mutate() {
		! wanted "$1" || applies "$@"
	}
	mutations
}

listing='' checking=
while [ $# -gt 0 ]; do
	case $1 in
	-c)	checking=1 ;;
	-l)	listing=1 ;;
	-*)	sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
	*)	names+=("$1") ;;
	esac
	shift
done
if [ -n "$listing" ]; then
	list
	exit
fi
if [ -n "$checking" ]; then
	check_all
	exit $((missed > 0))
fi
plan=$(list | wc -l)
[ "$plan" -gt 0 ] || { echo "there is no such mutation" >&2; exit 2; }
prepare
echo "1..$plan"
mutate() {
	! wanted "$1" || try "$@"
}
mutations
echo "# $((n - missed)) of $n caught"
[ $missed = 0 ]
