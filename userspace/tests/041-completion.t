#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Completion for bash and zsh offers the commands and options that the help has, and
# no others.

completion=$(dirname "$(realpath "$0")")/../completion
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"

commands_of() # TOOL
{
	"$1" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

verbs_of() # TOOL COMMAND
{
	"$1" "$2" --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

options_of() # TOOL COMMAND [VERB]
{
	"$@" --help | sed -nE 's/^ +(-[a-zA-Z], )?(--[a-z-]+)( .*)?$/\2/p' | sort
}

# What bash offers after these words; the last one may be empty.
bash_offers() # WORD...
{
	bash -c '. "$0" && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) && "_$1" &&
		printf "%s\n" "${COMPREPLY[@]}"' "$completion/$1" "$@" | sort
}

# What zsh would be told of a command: _arguments is called twice, for the command
# and then for what is behind it.
zsh_offers() # TOOL COMMAND [VERB]
{
	local name=$1

	shift
	zsh -f -c '
		shift
		cmd=($@)
		_arguments() {
			if [[ $1 == -C ]]; then
				state=argument line=($cmd)
				return 1
			fi
			print -rl -- $@
		}
		. $0' "$completion/_$name" - "$@" |
		sed -nE 's/^(\([^)]*\))?(--[a-z-]+)(=?\[.*)/\2/p' | sort
}

try_options() # TOOL PATH COMMAND [VERB]
{
	local name=$1 tool=$2 wanted

	shift 2
	wanted=$(options_of "$tool" "$@" | xargs)
	is "$(bash_offers "$name" "$@" -- | xargs)" "$wanted" "bash: the options of $name $*"
	if type -P zsh >/dev/null; then
		is "$(zsh_offers "$name" "$@" 2>&1 | xargs)" "$wanted" \
			"zsh: the options of $name $*"
	else
		ok 0 "zsh: the options of $name $* # SKIP no zsh here"
	fi
}

try() # TOOL PATH
{
	local name=$1 tool=$2 c v summary

	commands_of "$tool" >commands
	[ -s commands ]
	ok $? "$name has commands"
	is "$(bash_offers "$name" '' | sort | xargs)" \
		"$({ cat commands; echo --help; echo --version; } | sort | xargs)" \
		"bash: the commands of $name"
	is "$(sed -n "/commands=(/,/)\$/s/^\t\t'\([a-z]*\):.*/\1/p" "$completion/_$name" | xargs)" \
		"$(xargs <commands)" "zsh: the commands of $name, in that order"
	while read -r c; do
		summary=$("$tool" --help | sed -n "s/^  $c  *//p")
		grep -qF "'$c:$summary'" "$completion/_$name"
		ok $? "zsh: what $name $c is for is said as in its help"
		try_options "$name" "$tool" "$c"
		for v in $(verbs_of "$tool" "$c"); do
			grep -qF "'$v:$("$tool" "$c" --help | sed -n "s/^  $v  *//p")'" \
				"$completion/_$name"
			ok $? "zsh: what $name $c $v is for is said as in its help"
			try_options "$name" "$tool" "$c" "$v"
		done
	done <commands
	! type -P zsh >/dev/null || zsh -n "$completion/_$name"
	ok $? "zsh understands all of it"
}

try bow "$BOW"
try blksnap "$BLKSNAP"
finish
