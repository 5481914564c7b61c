# SPDX-License-Identifier: GPL-2.0-or-later
#
# A console without those reports of KCSAN that are not about us: the kernel has data
# races of its own, most of them harmless and known. A report is ours if one of the two
# accesses was made by a function of our modules, or by one of the kernel's that works
# on what it is given: a list, a tree, memory.
#
# The scheduler looks at the flags of tasks, as kthread_is_per_cpu() does, which only
# the task itself changes, in memalloc_noio_save(), say, which is inlined into us.
#
# Standard error: their number, if there are any.

function is_frame(s) {
	return s ~ /\+0x[0-9a-f]+\/0x[0-9a-f]+/
}

function is_helper(s) {
	return s ~ /^ *(__)?(rb|list|llist|hlist|mem|str|xa|xas|radix|refcount|kref|find|bitmap|crc32c|kasan|kcsan)_?[a-z0-9_]*\+0x/
}

/BUG: KCSAN: / {
	inside = 1
	ours = looking = 0
	task_flags = /kthread_is_per_cpu/
	held = ""
}

!inside {
	print
	next
}

{
	held = held $0 "\n"
	text = $0
	sub(/\r$/, "", text)
	sub(/^(<[0-9]+>)?\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? ?/, "", text)
}

text ~ /^(race at unknown origin, with )?(read|write|read-write)[^:]* (to|at) 0x.*:$/ {
	looking = 1
	next
}

looking && is_frame(text) {
	if (text ~ /\[dm_(cow|bow|blksnap)\]/)
		ours = 1
	if (!is_helper(text))
		looking = 0
}

text ~ /^====/ {
	if (ours && !task_flags)
		printf "%s", held
	else
		nr++
	inside = 0
}

END {
	if (inside)
		printf "%s", held
	if (nr)
		printf "%d data races of the kernel's own\n", nr >"/dev/stderr"
}
