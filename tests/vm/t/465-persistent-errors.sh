#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Persistent snapshots whose store fails, or is not what it was: while they are taken,
# gone on with, ended. Whoever writes to the origin never hears of it, and a log that
# is there is true or is known to be none.
# kernels: 6.12 uml debug kcsan
# timeout: 600

# shellcheck disable=SC2015,SC2034,SC2086,SC2154,SC2251
# shellcheck source=/dev/null
. /tests/t/4log.inc
modprobe dm-fault

dmsetup create low --table "0 8192 linear $D1 0"
dmsetup create below --table "0 32768 linear $D2 0"
dmsetup create kept --table "0 32768 fault /dev/mapper/below"
low=/dev/mapper/low below=/dev/mapper/below kept=/dev/mapper/kept
size=8192

fail() { # WHAT FIRST SECTORS SKIP COUNT
	dmsetup message kept 0 "fail $* drop"
}

heal() {
	dmsetup message kept 0 heal
}

write() { # BLOCK
	dd if=/dev/urandom of=$work/new bs=4k count=1 status=none
	dd if=$work/new of=/dev/mapper/o bs=4k seek=$1 oflag=direct status=none
}

erase() {
	dd if=/dev/zero of=$below bs=4k count=1 oflag=direct status=none
}

# What has been written is on the origin, and below it.
passes() { # WHAT
	local d

	write 5
	for d in /dev/mapper/o $low; do
		dd if=$d bs=4k skip=5 count=1 iflag=direct status=none | cmp - $work/new ||
			die "$1: the origin is not what was written"
	done
}

events() { # DEVICE
	dmsetup info -c --noheadings -o events $1
}

# Lost, which image and origin have told once each, and there is no log.
lost() { # WHAT EVENTS-OF-THE-IMAGE-BEFORE EVENTS-OF-THE-ORIGIN-BEFORE
	is "$(word i 1) $(word o 1) $(word o 12)" "failed idle failed" "states, $1"
	is "$(($(events i) - $2)) $(($(events o) - $3))" "1 1" "events, $1"
	not dd if=/dev/mapper/i of=/dev/null bs=4096 count=1 iflag=direct status=none
	not log_there $below
}

rolled_back() { # WHAT
	expect 1 blksnap restore --quiet --store $kept $low
	cmp $low $work/want || die "$1: not as it was"
	not log_there $below
}

dd if=/dev/urandom of=$low bs=1M oflag=direct status=none 2>/dev/null || :

# --- taken, while the first, the second... I/O to the store fails ------------------------

origin
n=0
while load i $kept persistent 4096; do
	dd if=$low of=$work/want bs=1M iflag=direct status=none
	dmsetup suspend o
	fail any 0 32768 $n 1
	! dmsetup resume i 2>/dev/null || break
	heal
	dmsetup resume o
	is "$(word o 1) $(word o 12) $(word i 1)" "idle - new" "state, $n"
	not log_there $below
	passes "a take that failed"
	# Another attempt, of the same.
	if [ $n = 1 ]; then
		dd if=$low of=$work/want bs=1M iflag=direct status=none
		dmsetup suspend o
		dmsetup resume i
		dmsetup resume o
		write 7
		shows "the second attempt"
		dmsetup message o 0 forget
	fi
	gone i
	n=$((n + 1))
done
[ $n -gt 4 ] || die "only $n I/Os of a take failed"
ok "a take fails or not, each of $n I/Os" true

# It has been taken without a failure; the rule hits what comes next, or nothing.
heal
dmsetup resume o
write 1
write 700
gone i o
ok "it can be gone on with" expect 1 blksnap check --store $kept $low

# --- gone on with, the same ----------------------------------------------------------------

dd if=$below of=$work/store bs=1M iflag=direct status=none
dd if=$low of=$work/changed bs=1M iflag=direct status=none
refusals=0
for ((n = 0, failed = 1; failed; n++)); do
	origin
	load i $kept persistent 4096 1 resume
	dmsetup suspend o
	fail any 0 32768 $n 1
	dmsetup resume i 2>/dev/null && how=active || how=new
	failed=$(dmsetup status kept | cut -d' ' -f5)
	heal
	dmsetup resume o
	is "$(word i 1)" $how "state, $n"
	if [ $how = active ]; then
		write 900
		shows "gone on with, $n"
	else
		refusals=$((refusals + 1))
	fi
	gone i o
	! log_there $below || rolled_back "resume $n"
	dd if=$work/store of=$below bs=1M oflag=direct status=none
	dd if=$work/changed of=$low bs=1M oflag=direct status=none
done
[ $refusals -gt 3 ] || die "only $refusals I/Os of a resume made it fail"
rolled_back "after all"
ok "gone on with or not, each of $n I/Os" true

# --- written to, and suspended and resumed, the same -----------------------------------------

suspends() {
	dmsetup suspend o
	dmsetup resume o
}

# No write ever fails for it, and nothing is left that is not true.
for what in passes suspends; do
	for ((n = 0, failed = 1; failed; n++)); do
		origin
		take $kept persistent 4096
		write 20
		before="$(events i) $(events o)"
		fail any 0 32768 $n 1
		$what "I/O $n of the store fails"
		failed=$(dmsetup status kept | cut -d' ' -f5)
		heal
		if [ $failed = 1 ]; then
			lost "$what, $n" $before
		else
			is "$(word i 1) $(word o 12)" "active active" "states, $what, $n"
			shows "$what, $n"
			dmsetup message o 0 forget
		fi
		passes "after that"
		gone i o
	done
	# A copy, a page and a flush; the header is read, erased, and put back.
	[ $n -gt 3 ] || die "$what: only $n I/Os"
	ok "$what: the snapshot is lost, the write is not, each of $((n - 1)) I/Os" true
done

# --- a log that is none ------------------------------------------------------------------------

origin
take $kept persistent 4096
write 11
gone i o
dd if=$below of=$work/page bs=4k count=1 iflag=direct status=none
dd if=/dev/urandom of=$below bs=512 seek=1 count=7 conv=notrunc oflag=direct status=none
head -c 64 $work/page | cat - <(head -c 448 /dev/zero) |
	dd of=$below bs=512 count=1 conv=notrunc oflag=direct iflag=fullblock status=none
expect 4 blksnap check --store $kept $low 2>/dev/null
origin
load x $kept persistent 4096 1 resume
dmsetup suspend o
refused "a damaged log" "cannot go on with the log: " resume x
dmsetup resume o
is "$(word o 1) $(word o 12)" "idle -" "state"
gone o
dd if=$work/page of=$below bs=4k count=1 oflag=direct status=none
rolled_back "mended"

# --- its end, when the header cannot be written ----------------------------------------------

# The newest page is the one slot or the other.
for n in 0 1 2 3; do
	origin
	take $kept persistent 4096
	for ((i = 0; i < n; i++)); do
		write $((100 + i))
	done
	before=$(events o)
	fail write 0 8 0 0
	dmsetup message o 0 forget
	heal
	[ "$(events o)" -gt $before ] || die "nobody has been told"
	is "$(word i 1) $(word o 12)" "forgotten forgotten" "states"
	passes "forgotten"
	gone i o
	dd if=$low of=$work/want bs=1M iflag=direct status=none
	ok "marked as ended after $n groups" expect 1 blksnap check --store $kept $low
	# The end is finished, nothing is brought back.
	rolled_back "ended, after $n groups"
done

# --- and when nothing can --------------------------------------------------------------------------

for how in "first write" forget; do
	origin
	take $kept persistent 4096
	write 200
	fail write 0 32768 0 0
	[ "$how" = forget ] || passes "a store that is broken"
	[ "$how" != forget ] || not dmsetup message o 0 forget 2>/dev/null
	is "$(word i 1) $(word o 1) $(word o 12)" "stale idle stale" "states, $how"
	passes "a stale one"
	not dd if=/dev/mapper/i of=/dev/null bs=4096 count=1 iflag=direct status=none
	heal
	gone i
	is "$(word o 12)" stale "state without an image, $how"
	gone o
	# All that is left is what the message in the kernel log says.
	log_there $below
	origin
	refused "a store with a log" "The store carries a log" \
		create x --table "$(table $kept persistent 4096)"
	erase
	take $kept persistent 4096
	write 3
	shows "the next one"
	gone i
	dmsetup message o 0 forget
	gone o
done
ok "a log that cannot be ended is called stale" true

# --- somebody else has got the store -------------------------------------------------------------

origin
take $kept persistent 4096
write 200
dmsetup create mine --table "0 32768 linear $kept 0"
gone i
is "$(word o 1) $(word o 12)" "idle stale" "states"
before=$(cksum <$below)
passes "a store that is gone"
[ "$(cksum <$below)" = "$before" ] || die "a store of somebody else has been written to"
gone mine o
erase
gone kept below low
ok "a store that somebody else has got is not written to" true
