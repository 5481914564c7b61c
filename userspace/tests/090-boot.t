#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bow boot as far as it goes without devices: configuration, state file, what is
# decided about image files, and that it is done in this order.

# shellcheck disable=SC2016

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

export BOW_BOOT_CMDLINE=$dir/cmdline BOW_BOOT_ID=$dir/boot-id
boots=0

# boots SYSTEM: from here on that is what runs
boots()
{
	boots=$((boots + 1))
	echo "boot-$boots" >boot-id
	echo "ro root=/dev/none root=$1 quiet" >cmdline
}

bow_boot()
{
	"$BOW" boot "$@" --config conf
}

# conf LINE...: the file, with a state file, a system and a device called "data"
conf()
{
	{
		echo "set state $dir/state/file"
		echo 'set system cmdline root'
		printf '%s\n' "$@"
		echo "$dir/image data /data defaults"
	} >conf
}

verdict()
{
	sed -n 's/.*"verdict":"\([a-z]*\)".*/\1/p' state/file
}

# ---- command line -------------------------------------------------------------

exits 2 "no verb" "$BOW" boot
exits 2 "unknown verb" "$BOW" boot frobnicate
says err "unknown verb 'frobnicate'" "it is named"
exits 0 "boot --help" "$BOW" boot --help
cp out help
for v in arm activate protect good commit abort status; do
	grep -q "^  $v " help
	ok $? "$v is in the help"
	exits 0 "$v --help" "$BOW" boot $v --help
	says out "^Usage: bow boot $v " "$v has a usage"
	exits 2 "$v: unknown option" "$BOW" boot $v --no-such-option
done
exits 2 "status with an argument" "$BOW" boot status x
exits 2 "--system elsewhere" "$BOW" boot commit --system x
exits 2 "--attempts elsewhere" "$BOW" boot commit --attempts 1
exits 2 "no attempts" "$BOW" boot arm --attempts 0

# ---- configuration --------------------------------------------------------------

boots A
truncate -s 16M image
exits 2 "no configuration" bow_boot status
says err '^bow: conf: No such file.*bow.conf(5)' "it is named"

# refuses LINE-NUMBER PATTERN DESCRIPTION LINE...
refuses()
{
	local number=$1 pattern=$2 what=$3

	shift 3
	printf '%s\n' "$@" >conf
	exits 2 "$what" bow_boot status
	says err "^bow: conf:$number: .*$pattern" "$what: said where and how"
	[ "$(wc -l <err)" = 1 ]
	ok $? "$what: in one line"
}

S="set state $dir/state/file"
D="$dir/image data /data defaults"
refuses 1 "unknown setting 'colour'" "unknown setting" "set colour blue" "$S" "$D"
refuses 3 "state is set twice" "setting given twice" "$S" "" "$S" "$D"
refuses 1 "unknown word 'frobnicate'" "unknown line" "frobnicate a b c" "$S" "$D"
refuses 2 "four words" "missing field" "$S" "$dir/image data /data"
refuses 2 "four words" "one field too many" "$S" "$D 0"
refuses 3 "'data' is taken by line 2" "name given twice" "$S" "$D" "/dev/x data /x defaults"
refuses 3 "in line 2 already" "device given twice" "$S" "$D" "$dir/image x /x defaults"
refuses 3 "in line 2 already" "mount point given twice" "$S" "$D" "/dev/x x /data defaults"
refuses 2 "unknown option 'colour'" "unknown option" "$S" "/dev/x x /x colour=blue"
refuses 2 "option 'low_water' has no value" "option without value" "$S" "/dev/x x /x low_water"
refuses 2 "low_water wants a number" "bad number" "$S" "/dev/x x /x low_water=many"
refuses 2 "power of two" "bad block size" "$S" "/dev/x x /x block_size=5000"
refuses 2 "on_full wants" "bad policy" "$S" "/dev/x x /x on_full=perhaps"
refuses 1 "from 1 to 1000" "bad attempts" "set attempts 0" "$S" "$D"
refuses 1 "'manual', 'new-system'" "bad arm" "set arm never" "$S" "$D"
refuses 1 "set system wants" "bad system" "set system cmdline" "$S" "$D"
refuses 1 "set mark_good wants" "empty hook" "set mark_good" "$S" "$D"
refuses 1 "set state_device wants" "state device without type" "set state_device LABEL=x" "$S" "$D"
refuses 2 "hides the filesystem" "a label of what is hidden" "$S" "LABEL=data data /data defaults"
refuses 2 "hides the filesystem" "a link to what is hidden" "$S" \
	"/dev/disk/by-uuid/1-2 data /data defaults"
refuses 2 "below it" "the device itself" "$S" "/dev/mapper/data data /data defaults"
refuses 1 "no state file" "no state file" "$D"
refuses 2 "begin with '/'" "relative mount point" "$S" "/dev/x x data defaults"
refuses 2 "without '/'" "bad name" "$S" "/dev/x a/b /data defaults"
refuses 2 "would be rolled back" "state below a device" "set state /data/state" "$D"
refuses 1 "no device" "no device" "$S"
refuses 3 "before the new system is good" "on_full=commit with systems" \
	"$S" "set system cmdline root" "/dev/x x /x on_full=commit"
refuses 2 "one of several" "on_full=commit of one of two" "$S" "/dev/x x /x on_full=commit" "$D"
refuses 2 "set system none" "every-boot with systems" \
	"set system cmdline root" "set arm every-boot" "$S" "$D"
refuses 1 "set system cmdline" "new-system without" "set arm new-system" "$S" "$D"
! [ -e state ]
ok $? "nothing has been written"

cat >conf <<-END
	# a comment
	set	state	$dir/state/file   # another
	set system none
	set attempts 5
	set mark_good true a#b
	$dir/image data /data on_full=commit,low_water=10,block_size=64K
END
exits 0 "a good one" bow_boot status
says out '^verdict: idle' "idle"

# ---- system identity ----------------------------------------------------------------

conf
exits 0 "cmdline" bow_boot status
says out '^system: A$' "the last one counts"
echo quiet >cmdline
exits 8 "parameter missing" bow_boot status
says err "has no 'root='" "it is named"
sed -i 's/^set system.*/set system command echo slot-7/' conf
exits 0 "command" bow_boot status
says out '^system: slot-7$' "its output"
sed -i 's/^set system.*/set system command false/' conf
exits 8 "command that fails" bow_boot status
sed -i 's/^set system.*/set system command true/' conf
exits 8 "command that says nothing" bow_boot status
sed -i 's/^set system.*/set system command .\/nothing/' conf
exits 8 "no such command" bow_boot status

# ---- arm, abort, status --------------------------------------------------------------

conf
boots A
exits 0 "arm --dry-run" bow_boot arm --system B --dry-run
! [ -e state ]
ok $? "it records nothing"
exits 0 "arm" bow_boot arm --system B
is "$(verdict)" armed "armed"
is "$(stat -c %a state/file)" 600 "mode of the state file"
is "$(ls state)" file "nothing is left beside it"
exits 1 "status: armed" bow_boot status
exits 1 "status --json" bow_boot status --json
json out '$d->{verdict} eq "armed" && $d->{new_system} eq "B" && $d->{old_system} eq "A" && $d->{attempts_left} == 3 && $d->{status} == 1' \
	"status: armed, for programs"
exits 0 "commit has nothing to do here" bow_boot commit
exits 0 "protect has nothing to do here" bow_boot protect
boots C
exits 0 "a third system" bow_boot activate --dry-run
says err "armed for B, and this is C" "it is not protected, and that is told"
boots A
exits 0 "the old one" bow_boot activate --dry-run
! grep -q "armed for" err
ok $? "which is expected to boot"
exits 0 "abort" bow_boot abort
is "$(verdict)" idle "idle again"
exits 0 "abort again" bow_boot abort
exits 0 "arm --attempts" bow_boot arm --system B --attempts 7
exits 1 "status" bow_boot status --json
json out '$d->{attempts} == 7' "attempts"
exits 0 "armed once more" bow_boot arm --attempts 2
exits 1 "status" bow_boot status --json
json out '$d->{any_system} && $d->{attempts} == 2' "for whatever boots next"

# ---- decisions ---------------------------------------------------------------------------

exits 0 "arm" bow_boot arm --system B --attempts 2
exits 0 "activate in the old system" bow_boot activate --dry-run
says out 'make: linear' "linear"
boots B
exits 0 "activate in the new system" bow_boot activate --dry-run
says out 'make: bow' "bow"
exits 0 "activate --json" bow_boot activate --dry-run --json
json out '$d->{devices}[0]{make} eq "bow" && $d->{devices}[0]{ending} eq "none" && !$d->{rejected}' \
	"for programs"
exits 2 "activate of an unknown name" bow_boot activate nobody
is "$(verdict)" armed "nothing has been recorded"
exits 2 "a file is no device" bow_boot activate
says err 'losetup' "the remedy is named"
grep -q '"attempts_left":1' state/file
ok $? "an attempt was counted before that"
exits 2 "activate again" bow_boot activate
grep -q '"attempts_left":1' state/file
ok $? "but only one in a boot"
exits 16 "protect, and there is no bow device" bow_boot protect
says err 'not everything is under a checkpoint' "it says what is missing"
exits 16 "commit, and there is no checkpoint" bow_boot commit
is "$(verdict)" armed "still armed"

# A log on the image, recorded as that of a trial.
uuid_of()
{
	"$BOW" check --json image | sed -n 's/^ *"uuid":"\(.*\)",$/\1/p'
}

# trial [UUID]: the state file of one, in which B is new
trial()
{
	mkdir -p state
	cat >state/file <<-END
		{ "version":1, "good_system":"A", "transaction":{ "verdict":"trial",
		"any_system":false, "rejected":false, "new_system":"B", "old_system":"A",
		"attempts":2, "attempts_left":1, "armed_in":"", "counted_in":"boot-0",
		"devices":{ "data":{ "device":"$dir/image", "uuid":"${1-$(uuid_of)}",
		"phase":"live", "since":1700000000 } } } }
	END
}

log_with seed=1
trial
exits 3 "status: trial" bow_boot status
says out '^data .*live *yes' "the log is known"
boots B
exits 0 "the new system" bow_boot activate --dry-run
says out 'end: none, would make: resume' "goes on"
exits 16 "arm in a trial" bow_boot arm --system B
exits 2 "activate" bow_boot activate
is_untouched "resume"
is "$(verdict)" trial "still on trial"
boots B
exits 32 "no attempt is left" bow_boot activate --dry-run
says out 'end: roll-back, would make: bow' "back, and a new checkpoint"
is_untouched "dry"
exits 2 "activate" env BOW_BOOT_STOP_AFTER= "$BOW" boot activate --config conf
is_original "no attempt left"
is "$(verdict)" armed "armed again"
exits 7 "status: rejected" bow_boot status

cp before image
trial
boots A
exits 8 "the old system, cut before the rollback" \
	env BOW_BOOT_STOP_AFTER=rollback "$BOW" boot activate --config conf
is_untouched "cut"
exits 6 "a rollback is due" bow_boot status
exits 16 "no commit then" bow_boot commit
boots B
exits 2 "whatever boots" bow_boot activate
is_original "the old system had booted"
is "$(verdict)" armed "armed again"

cp before image
trial
exits 0 "abort" bow_boot abort
exits 7 "status in the system that was given up" bow_boot status
boots A
exits 6 "status in the old one" bow_boot status
exits 2 "activate" bow_boot activate
is_original "abort"

# ---- commit --------------------------------------------------------------------------------

# hooks: one that leaves a trace of what was recorded when it ran
cat >hook <<-'END'
	#!/bin/sh
	echo "$1 $(sed -n 's/^ *"verdict":"\([a-z]*\)",/\1/p' state/file)" >>marks
END
chmod +x hook
conf "set mark_good $dir/hook good" "set mark_bad $dir/hook bad"
cp before image
trial
boots B
rm -f marks
exits 0 "commit --dry-run" bow_boot commit --dry-run
is "$(verdict)" trial "nothing was done"
exits 0 "commit" bow_boot commit
is "$(cat marks)" "good good" "the boot loader was told, after it was recorded as good"
is_live "commit"
is "$(verdict)" idle "idle"
grep -q '"good_system":"B"' state/file
ok $? "B is the good system"
exits 0 "commit again" bow_boot commit
says out '^nothing to do' "nothing to do"

for cut in good mark-good commit end; do
	cp before image
	trial
	boots B
	rm -f marks
	exits 8 "commit cut after $cut" \
		env BOW_BOOT_STOP_AFTER=$cut "$BOW" boot commit --config conf
	boots B
	case $cut in
	good|mark-good)
		is_untouched "$cut"
		exits 2 "$cut: activate" bow_boot activate
		is_untouched "$cut, activate"
		is "$(verdict)" good "$cut: still good"
		exits 16 "$cut: abort" bow_boot abort
		exits 0 "$cut: commit" bow_boot commit ;;
	*)	exits 2 "$cut: activate" bow_boot activate ;;
	esac
	is_live "$cut"
	is "$(verdict)" idle "$cut: idle"
done
for cut in good mark-good; do
	cp before image
	trial
	boots B
	exits 8 "commit cut after $cut" \
		env BOW_BOOT_STOP_AFTER=$cut "$BOW" boot commit --config conf
	boots A
	exits 2 "$cut, then the old system" bow_boot activate
	is_original "$cut, then the old system"
done
cp before image
trial
boots B
exits 8 "commit cut after the point of no return" \
	env BOW_BOOT_STOP_AFTER=commit "$BOW" boot commit --config conf
boots A
exits 2 "then the old system" bow_boot activate
is_live "forward, whatever boots"

sed -i "s,^set mark_good.*,set mark_good false," conf
cp before image
trial
boots B
exits 8 "a boot loader that cannot be told" bow_boot commit
is_untouched "mark_good fails"
is "$(verdict)" good "good, and no more"
conf
trial
exits 0 "good, before somebody else tells the boot loader" bow_boot good
is "$(verdict)" good "that is recorded"
is_untouched "good"
boots A
trial
exits 16 "the other system does not commit" bow_boot commit
is "$(verdict)" trial "nothing has changed"

# ---- what is not known is left alone ----------------------------------------------------------

for system in A B; do
	cp before image
	trial 01234567-89ab-cdef-0123-456789abcdef
	boots $system
	cp state/file state-before
	exits 9 "$system: a trial of another log" bow_boot status
	exits 0 "$system: activate" bow_boot activate --dry-run
	says out 'end: none, would make: resume' "$system: it is resumed"
	says err 'does not know' "$system: and said so"
	exits 2 "$system: activate" bow_boot activate
	is_untouched "$system: foreign log"
	cmp -s state/file state-before
	ok $? "$system: the state stays"
	exits 16 "$system: no commit" bow_boot commit
	is_untouched "$system: foreign log, commit"
	for state in '{' '{"version":2}' '{"version":1,"good_system":""}'; do
		echo "$state" >state/file
		cp state/file state-before
		exits 9 "$system: state '$state'" bow_boot status
		exits 2 "$system: activate with it" bow_boot activate
		is_untouched "$system: state '$state'"
		exits 16 "$system: arm with it" bow_boot arm
		exits 16 "$system: commit with it" bow_boot commit
		exits 16 "$system: abort with it" bow_boot abort
		cmp -s state/file state-before
		ok $? "$system: it is not written over"
	done
	rm state/file
	exits 2 "$system: no state file" bow_boot activate
	is_untouched "$system: no state file"
	exits 16 "$system: no state file, arm" bow_boot arm
done

# Entering: the uuid is not known yet, the time is.
log_with seed=2
trial
sed -i 's/"uuid":"[^"]*"/"uuid":null/; s/"verdict":"trial"/"verdict":"entering"/' state/file
boots A
exits 2 "entering, and the old system" bow_boot activate
is_original "entering"
cp before image
trial
sed -i 's/"uuid":"[^"]*"/"uuid":null/; s/"verdict":"trial"/"verdict":"entering"/; s/"since":1700000000/"since":1699990000/' state/file
exits 2 "entering, hours before this log" bow_boot activate
says err 'does not know' "it is told of"
is_untouched "entering, hours before"

# What was begun is finished, whatever is recorded.
rm -f state/file
log_with seed=21 state=restoring writes=200
exits 2 "a restore that was cut" bow_boot activate
is_original "a restore that was cut"
log_with seed=20 state=committing writes=200
exits 2 "a commit that was cut" bow_boot activate
is_live "a commit that was cut"

log_with seed=5
trial
poke image 0 700
cp image before
boots A
exits 4 "a damaged log" bow_boot activate
is_untouched "damaged"
exits 9 "status: damaged" bow_boot status

# ---- two devices --------------------------------------------------------------------------------

two()
{
	log_with seed=1
	cp image image2
	cp original original2
	conf "$dir/image2 home /home defaults"
	trial
	perl -0pi -e 's/("data":(\{[^}]*\}))/"home":$2,$1/; s,image",image2",' state/file
}

two
boots B
exits 3 "two devices" bow_boot status
boots A
exits 8 "the old system, cut between them" \
	env BOW_BOOT_STOP_AFTER=end "$BOW" boot activate --config conf
boots B
exits 2 "then the new one" bow_boot activate
is_original "the second is rolled back as well"
cmp -s image image2
ok $? "both are"

two
boots B
poke image 700000 4096
poke image 0 600
boots A
cp image before
cp state/file state-before
exits 4 "one of two is damaged" bow_boot activate
is_untouched "damaged"
cmp -s state/file state-before
ok $? "nothing is recorded"
exits 1 "and the other is not touched" "$BOW" check image2

two
"$BOW" commit image >out
boots A
exits 16 "one of two was committed by hand" bow_boot activate --dry-run
exits 16 "nothing is done" bow_boot activate
says err 'was ended by somebody' "it is told of"
exits 1 "the other is not touched" "$BOW" check image2
is "$(verdict)" trial "the state is what it was"
exits 0 "the administrator says abort" bow_boot abort
exits 2 "activate" bow_boot activate
exits 0 "now it is rolled back" "$BOW" check image2

# A device that only the state file knows is not forgotten.
two
conf
boots A
exits 2 "an old configuration" bow_boot activate
is_original "an old configuration"
exits 0 "the device that it does not name is rolled back" "$BOW" check image2

# ---- armed of itself -------------------------------------------------------------------------------

rm -f state/file image
truncate -s 16M image
conf 'set arm new-system'
boots A
exits 2 "new-system, for the first time" bow_boot activate
grep -q '"good_system":"A"' state/file
ok $? "what runs is good"
boots B
exits 0 "another system" bow_boot activate --dry-run
says out 'record: armed' "is armed"
says out 'make: bow' "of itself"
boots A
exits 0 "the same system" bow_boot activate --dry-run
says out 'make: linear' "is not"

finish
