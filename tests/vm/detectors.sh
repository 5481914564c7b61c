#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Plant one bug after the other in the modules and see the debug kernel report it.
#
#   detectors.sh [NAME...]      KERNEL=uml, debug or kcsan: there a data race
#
# So "no report" from `make check-debug` means something.

set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd -P)
kernel=${KERNEL:-uml}
work=$(mktemp -d "${TMPDIR:-/tmp}/detectors.XXXXXX")
trap 'rm -rf "$work"' EXIT
wanted=" $* " seen=0 missed=0

mkdir -p "$work/src/build"
cp -r "$top"/{drivers,include,scripts,tests} "$work/src/"
ln -s "$top/build/bow" "$work/src/build/bow"

# Two lives, to a rollback and to a commit.
cat >"$work/life" <<'END'
#!/bin/bash
. /tests/block.sh
dmsetup create raw --table "0 32768 linear $D1 0"
load /dev/mapper/raw
bowio fill /dev/mapper/raw $W/old
bowio discard -r 16384+16384 $D
checkpoint
bowio write -n 40 -s 4096 -r 0+16384 -g 100 $D $W/old
# Where the log is: redirected.
bowio write -n 4 -s 4096 -r 0+16 -g 2 $D $W/old
dmsetup remove bow
load /dev/mapper/raw resume
suspended commit
dmsetup remove bow
dmsetup remove raw
END

plain() {
	"$work/src/scripts/vm" -k "$kernel" --new-disk 64M "$work/life"
}

# A table, while one allocation after the other fails.
cat >"$work/tables" <<'END'
#!/bin/bash
. /tests/block.sh
. /tests/faults.inc
faults_of cow bow
dmsetup create raw --table "0 8192 linear $D1 0"
dmsetup create bow --notable
one_by_one "a table" bow bow /dev/mapper/raw
dmsetup remove bow
dmsetup remove raw
END

faults() {
	"$work/src/scripts/vm" -k "$kernel" --new-disk 64M --allow Call.Trace: "$work/tables"
}

complain() { # WHAT NAME WHY
	echo "$1  $2: $3"
	missed=$((missed + 1))
}

# Two processors at least.
cat >"$work/both" <<'END'
#!/bin/bash
. /tests/block.sh
dmsetup create raw --table "0 32768 linear $D1 0"
load /dev/mapper/raw
bowio fill /dev/mapper/raw $W/old
bowio write -t 4 -n 2000 -s 4096 -g 100 $D $W/old
dmsetup remove bow
dmsetup remove raw
END

both() {
	"$work/src/scripts/vm" -k "$kernel" --timeout 600 --new-disk 64M "$work/both"
}

# NAME, the report, who runs it, file in drivers/md, perl program for it as a whole
plant() {
	local name=$1 report=$2 run=$3 file=$work/src/drivers/md/$4

	[[ $wanted == *" $name "* || $wanted == "  " ]] || return 0
	rm -rf "$work/src/drivers"
	cp -r "$top/drivers" "$work/src/"
	perl -0pi -e "$5" "$file"
	if cmp -s "$file" "$top/drivers/md/$4" && [ "$name" != none ]; then
		complain STALE "$name" "nothing to change in $4"
	elif ! "$work/src/scripts/build-modules" "$kernel" >"$work/out" 2>&1; then
		cat "$work/out"
		complain STALE "$name" "does not build"
	elif $run >"$work/out" 2>&1; then
		if [ "$name" = none ]; then
			echo "silent    with no bug planted"
		else
			complain MISSED "$name" "not a word"
		fi
	elif [ "$name" != none ] && grep -aqE "$report" "$work/out"; then
		echo "reported  $name: $(grep -aE -m 1 "$report" "$work/out" | sed 's/^ *\(\[ *[0-9.]*\] \)*//')"
		seen=$((seen + 1))
	else
		tail -n 40 "$work/out"
		complain MISSED "$name" "something else went wrong"
	fi
}

# shellcheck disable=SC2016
if [ "$kernel" = kcsan ]; then
plant none '' both dm-cow-turn.c ''
# A counter of all writes, with no lock.
plant data-race 'KCSAN: data-race in bow_map_bio' both dm-bow-map.c \
	's/(\nint bow_map_bio\([^{]*\{\n)/\nstatic unsigned long planted;\n$1\tint times;\n\n\tfor (times = 0; times < 1000; times++) {\n\t\tplanted++;\n\t\tbarrier();\n\t}\n/'
else
# Without a bug there must be silence, else nothing below says anything.
plant none '' plain dm-cow-turn.c ''
plant none '' faults dm-cow-turn.c ''
# The list of what was free is never given back.
plant leak 'unreferenced object' plain dm-cow-turn.c \
	's/(cow_exit\(struct cow \*cow\)\n.*?)\tcow_free\(cow->freemap\);\n/$1/s'
# Something is freed with what it is a member of, and then looked at.
plant use-after-free 'KASAN: (slab-)?use-after-free' plain dm-bow-state.c \
	's/\tvfree\(bow->discarded\);\n\tkfree\(bow\);/\tkfree(bow);\n\tvfree(bow->discarded);/'
# The reserve has one page too few.
plant out-of-bounds 'KASAN: (slab|vmalloc)-out-of-bounds' plain dm-cow-copy.c \
	's/kvcalloc\(pages,/kvcalloc(pages - 1,/'
# An allocation that may sleep, below a spinlock.
plant sleep-in-atomic 'sleeping function called from invalid context' plain dm-cow-dev.c \
	's/(\tlist_add_tail\(&call.node, &dev->calls\);\n)/\tkfree(kmalloc(8, GFP_KERNEL));\n$1/'
# Two mutexes, in both orders.
plant lock-order 'possible circular locking dependency' plain dm-bow-target.c \
	's/(\tr = do_message\(bow, argv\[0\]\);\n)/\tmutex_lock(&bow->event_lock);\n\tmutex_unlock(&bow->event_lock);\n$1/; s/(\tif \(bow->event_target == ti\)\n)/\tmutex_lock(&bow->lock);\n\tmutex_unlock(&bow->lock);\n$1/'
# A spinlock of interrupts, taken with interrupts on.
plant irq-unsafe 'inconsistent lock state|possible irq lock inversion' plain dm-bow-map.c \
	's/(nothing_redirected.*?)spin_lock_irq\((.*?)spin_unlock_irq\(/$1spin_lock($2spin_unlock(/s'
# Work is freed that is queued.
plant free-queued-work 'ODEBUG: free active' plain dm-cow-copy.c \
	's/\tINIT_WORK\(&copy->work, read_work\);\n/$&\t{ struct work_struct *w = kmalloc(sizeof(*w), GFP_NOIO); if (w) { INIT_WORK(w, read_work); preempt_disable(); queue_work(system_wq, w); kfree(w); preempt_enable(); } }\n/'
# Nobody looks whether there was memory.
plant unchecked-allocation 'null-ptr-deref|NULL pointer|Kernel mode fault|Kernel panic' faults dm-bow-target.c \
	's/(kzalloc\(sizeof\(\*bow\), GFP_KERNEL\);\n)\n\tif \(!bow\)\n\t\treturn NULL;\n/$1\n/'
fi

echo "$seen reported, $missed missed"
[ $missed = 0 ]
