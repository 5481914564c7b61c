#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The power goes while four threads write; then
#   - restore, killed over and over, and at last let run: bit for bit;
#   - resume, more writes, the power goes again, restore: bit for bit;
#   - resume, commit: what was acknowledged before both cuts is there;
#   - commit offline, killed over and over.

# timeout: 600

# shellcheck disable=SC2015
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../lib.sh"
PATH=$TOP/build:$PATH

RANDOM=${SEED:-$$}
step "seed ${SEED:-$$}"
A=$(mkdisk a 48M) ack1=$(mkdisk ack1 1M) ack2=$(mkdisk ack2 1M)
FREE=32768+49152
# Of free space the part that backups do not reach soon, and where they begin.
LOAD="-t 4 -n 4000 -s 512:32768 -r 0+16384 -r 32768+2048 -r 65536+4096"

copy() {
	cp --sparse=always "$A" "$WORK/$1"
	echo "$WORK/$1"
}

# Kill COMMAND at its first write, its second, ..., then let it run.
killed() { # COMMAND...
	local n rc=0

	for n in 1 1 2 3 4 5 6 8 10 13 16 20 30; do
		rc=0
		(strace -f -qq -o /dev/null -e trace=pwrite64,pwritev,fdatasync,fsync \
			-e inject=pwrite64,pwritev,fdatasync,fsync:signal=KILL:when=$n \
			"$@" || exit) >/dev/null 2>&1 || rc=$?
		kills=$((kills + (rc > 128)))
	done
	rc=0
	"$@" || rc=$?
	[ $rc = 0 ] || [ $rc = 1 ] || die "$*: status $rc after it was killed"
}

back() { # IMAGE: it says what it said at the checkpoint
	bowio model -g 1 "$1" "$WORK/old"
	ok "$(basename "$1"): bit for bit" bowio verify -x $FREE "$1" "$WORK/old"
	expect 0 bow check "$1"
}

step "checkpoint, load, power cut"
guest 77 -d "$A" -d "$ack1" --kill-on load:$((RANDOM % 3000 + 2000)) "
. /tests/block.sh
load /dev/vda
bowio fill \$D \$W/old
bowio discard -r $FREE \$D
checkpoint
vm-token load
bowio write $LOAD -S 1 -g 100 -A /dev/vdb \$D \$W/new
exec sleep 100"
expect 1 bow check "$A"
bowio model -g 1 "$A" "$WORK/new"
# shellcheck disable=SC2086
done1=$(bowio replay $LOAD -S 1 -g 100 -A "$ack1" "$A" "$WORK/new")
[ "$done1" -gt 0 ] || die "nothing was written before the cut"
step "$done1 writes acknowledged"

step "restore, the machine killed twice"
img=$(copy restored-in-guest)
for n in 1 2; do
	rc=0
	vm -d "$img" --kill-on restore:$((RANDOM % 500 + 100)) \
		-c 'vm-token restore; bow restore /dev/vda; exec sleep 100' || rc=$?
	[ $rc = 77 ] || die "restore: status $rc"
	rc=0
	said=$(bow check "$img" 2>&1) || rc=$?
	[ $rc = 0 ] || [ $rc = 1 ] || die "after cut $n: $said"
	step "cut $n: ${said%%$'\n'*}"
done
rc=0
bow restore "$img" || rc=$?
[ $rc = 1 ] || [ $rc = 0 ] || die "restore: status $rc"
expect 0 bow restore "$img"
back "$img"

step "restore, the tool killed"
img2=$(copy restored-here)
kills=0
killed bow restore "$img2"
[ $kills -ge 4 ] || die "killed only $kills times"
expect 0 bow restore "$img2"
back "$img2"
img3=$(copy restored-at-once)
expect 1 bow restore "$img3"
back "$img3"
ok "the same result" bowio compare -x $FREE "$img" "$img3"

step "resume, more load, power cut"
guest 77 -d "$A" -d "$ack1" -d "$ack2" --kill-on load:$((RANDOM % 3000 + 1000)) "
. /tests/block.sh
load /dev/vda resume
bowio model -g 1 \$D \$W/new
bowio replay $LOAD -S 1 -g 100 -A /dev/vdb \$D \$W/new
bowio verify -x $FREE \$D \$W/new
bowio verify -i 1 \$D \$W/new
# What was trimmed and not written since is free again: it takes no space.
bowio discard -r 40960+24576 \$D
suspended reclaim
vm-token load
bowio write -E $LOAD -S 2 -g 100000 -A /dev/vdc \$D \$W/new
exec sleep 100"
expect 1 bow check "$A"
# shellcheck disable=SC2086
done2=$(bowio replay $LOAD -S 2 -g 100000 -A "$ack2" "$A" "$WORK/new")
step "$done2 more writes acknowledged"
img=$(copy restored-again)
expect 1 bow restore "$img"
back "$img"

step "commit offline, the tool killed"
img=$(copy committed-here)
kills=0
killed bow commit "$img"
[ $kills -ge 4 ] || die "killed only $kills times"
expect 0 bow check "$img"
ok "offline commit: all that was acknowledged" bowio verify -x $FREE "$img" "$WORK/new"
ok "offline commit: in free space too" bowio verify -i 1 "$img" "$WORK/new"

step "resume and commit"
cp "$WORK/new" "$WORK/model"
guest 0 -d "$A" -a "$WORK/model:/model" "
. /tests/block.sh
load /dev/vda resume
dmsetup message bow 0 commit
is \"\$(field state)\" committed
bowio verify -x $FREE \$D /model
bowio verify -i 1 \$D /model
dmsetup remove bow
bowio verify -x $FREE /dev/vda /model
expect 0 bow check /dev/vda"
ok "commit after resume: all that was acknowledged" bowio verify -x $FREE "$A" "$WORK/new"
ok "in free space too" bowio verify -i 1 "$A" "$WORK/new"
