#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Break one rule of `bow boot` at a time in a copy of the sources, and see the
# explorer notice.
#
#   boot-mutate.sh [NAME...]
#
# The exit status is 0 if everything was noticed; a mutation that does not apply any
# more, or does not build, counts as not noticed.

set -u
cd "$(dirname "$0")/.." || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
missed=0 tried=0
wanted=" $* "

build()
{
	${CC:-cc} -O1 -std=gnu11 -w -DBOOT_DEVICES=2 -DBOOT_SYSTEM=4 -I"$work" -I. -Iinclude -I../drivers/md \
		-I../include/uapi -o "$work/explore" tests/boot-explore.c \
		"$work/boot/rules.c" "$work/boot/order.c" lib/crc32c.c
}

# NAME FILE PERL: the program sees the file as a whole.
mutate()
{
	[ "$wanted" = "  " ] || case $wanted in *" $1 "*) ;; *) return ;; esac
	tried=$((tried + 1))
	rm -rf "${work:?}/boot"
	mkdir "$work/boot"
	cp boot/rules.[ch] boot/order.[ch] "$work/boot"
	perl -0777 -pi -e "$3" "$work/boot/$2"
	if cmp -s "boot/$2" "$work/boot/$2"; then
		verdict='DOES NOT APPLY'
	elif ! build; then
		verdict='DOES NOT BUILD'
	elif timeout 300 "$work/explore" --first >"$work/out" 2>&1; then
		verdict='NOT NOTICED'
	else
		verdict=$(sed -n 's/^# \([a-z-]*: .*\)/\1/p' "$work/out" | head -n 1)
		printf '%-32s %s\n' "$1" "${verdict:-ended with an error}"
		return
	fi
	printf '%-32s %s\n' "$1" "$verdict"
	missed=$((missed + 1))
}

# ---- the order of things ----------------------------------------------------------

mutate mark-after-commit order.c \
	's/int status = run->ops->mark\(run, true\);\s*if \(status\)\s*return status;(\s*next\.verdict = BOOT_COMMIT;\s*)return save\(run, &next\);/int status;\n$1status = save(run, &next);\n\treturn status ? status : run->ops->mark(run, true);/'
mutate good-not-recorded order.c \
	's/return \*answer == BOOT_DO \? save\(run, &next\) : 0;/run->state = next; return 0;/'
mutate restore-not-recorded order.c \
	's/if \(has_endings\(plan, run->in\.nr\)\)\s*status = save\(run, &plan->first\);/(void)has_endings;/'
mutate made-before-recorded order.c \
	's/if \(!status\)\s*status = save\(run, &plan->then\);\s*return status \? status : make_devices\(run, plan\);/if (!status) status = make_devices(run, plan); return status ? status : save(run, &plan->then);/'
mutate commit-not-recorded order.c \
	's/(next\.verdict = BOOT_COMMIT;\s*)return save\(run, &next\);/$1 run->state = next; return 0;/'
mutate logs-before-no-return order.c \
	's/status = pass_no_return\(run\);\s*if \(!status\)\s*status = give_up_logs\(run\);/{ status = give_up_logs(run); if (!status) status = pass_no_return(run); }/'
mutate idle-before-logs order.c \
	's/if \(!status\)\s*status = give_up_logs\(run\);\s*if \(status\)\s*return status;(.*?)return save\(run, &next\);/if (status) return status; struct boot_state was = run->state; $1 status = save(run, &next); run->state = was; return status ? status : give_up_logs(run);/s'
mutate entering-not-recorded order.c \
	's/status = save\(run, &next\);(\s*if \(status\)\s*return status;\s*status = run->ops->checkpoint)/run->state = next; status = 0;$1/'
mutate failed-entry-left order.c \
	's/if \(before\.verdict == BOOT_ARMED\)\s*leave\(run, &before\);/(void)leave;/'
mutate mark-bad-forgotten order.c \
	's/if \(!status && plan->rejected\)\s*run->ops->mark\(run, false\);//; s/if \(boot_is_rejected\(&run->state, &run->in\)\)\s*run->ops->mark\(run, false\);//'

# ---- the rules -------------------------------------------------------------------------

mutate old-resumes rules.c \
	's/if \(!new \|\| !count_attempt/if (new \&\& !count_attempt/'
mutate good-does-not-go-back rules.c \
	's/if \(new && state->verdict == BOOT_GOOD/if (state->verdict == BOOT_GOOD/'
mutate good-counts-attempts rules.c \
	's/if \(new && state->verdict == BOOT_GOOD[^;]*;//'
mutate attempts-not-counted rules.c \
	's/state->attempts_left--;/;/'
mutate exhausted-goes-on rules.c \
	's/(new \&\& same_boot[^;]*;\s*)if \(!new \|\| !count_attempt\(state, in\)/$1 count_attempt(state, in); if (!new/'
mutate rolled-back-is-idle rules.c \
	's/if \(state->rejected && !boot_is_named\(state\)\) \{/if (1) {/'
mutate rejected-is-linear rules.c \
	's/return wants_bow\(&plan->then, in\) \?/return wants_bow(\&plan->then, in) \&\& !plan->then.rejected ?/'
mutate rejected-may-commit rules.c \
	's/if \(state->rejected\)\s*return BOOT_NO_REJECTED;//'
mutate other-may-commit rules.c \
	's/if \(!new\)\s*return BOOT_NO_SYSTEM;//; s/new && same_boot\(state->counted_in, in\)/1/'
mutate any-live-log-is-ours rules.c \
	's/return !memcmp\(record->uuid, dev->uuid, sizeof\(dev->uuid\)\);/return true;/'
mutate any-time-will-do rules.c \
	's/return dev->time \+ BOOT.*?;/return true;/s'
mutate part-goes-on rules.c \
	's/else if \(live && c\.gone && [^;]*?return false;\s*else if \(live && c\.gone\)/else if (live \&\& c.gone \&\& !c.ours)/s'
mutate rollback-of-a-part rules.c \
	's/if \(boot_is_ours\(state, in, i\) && !plan->dev\[i\]\.ending\)\s*return false;//; s/return BOOT_END_RESTORE;/return i ? BOOT_END_NOTHING : BOOT_END_RESTORE;/'
mutate commit-of-a-part rules.c \
	's/if \(boot_is_ours\(state, in, i\) && !plan->dev\[i\]\.ending\)\s*return false;//; s/(verdict == BOOT_COMMIT\)\s*)return BOOT_END_COMMIT;/$1return i ? BOOT_END_NOTHING : BOOT_END_COMMIT;/'
mutate commit-goes-back rules.c \
	's/else if \(live\)\s*decide_trial\(state, in\);/else if (live || state->verdict == BOOT_COMMIT) decide_trial(state, in);/'
mutate begun-is-not-finished rules.c \
	's/if \(dev->log == BOOT_LOG_COMMITTING \|\| dev->log == BOOT_LOG_RESTORING\)/if (dev->log == BOOT_LOG_COMMITTING)/'
mutate entering-is-trial rules.c \
	's/decide_entering\(state, in\);/state->verdict = BOOT_TRIAL;/'
mutate adopts-what-is-there rules.c \
	's/boot_has_foreign\(state, in\)\)\s*return BOOT_NO_FOREIGN;/0) return BOOT_NO_FOREIGN;/; s/!in->dev\[i\]\.collecting && !boot_is_ours\(state, in, i\)/0/; s/if \(!boot_is_ours\(state, in, i\)\)\s*return BOOT_NO_PROTECTION;//'
mutate abort-of-commit rules.c \
	's/case BOOT_COMMIT:\s*return BOOT_NO_COMMIT;//'
mutate attempts-not-renewed rules.c \
	's/state->attempts_left = state->attempts;/;/g'
mutate every-boot-resumes rules.c \
	's/ \|\| in->arm == BOOT_ARM_EVERY_BOOT\)\s*roll_back/) roll_back/'
mutate unreadable-is-empty rules.c \
	's/in->bad_state/false/g'

echo "$((tried - missed)) of $tried noticed"
[ $missed = 0 ]
