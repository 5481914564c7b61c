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

options_of() # TOOL COMMAND
{
	"$1" "$2" --help | sed -nE 's/^ +(-[a-zA-Z], )?(--[a-z-]+)( .*)?$/\2/p' | sort
}

# What bash offers after these words; the last one may be empty.
bash_offers() # WORD...
{
	bash -c '. "$0" && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) && "_$1" &&
		printf "%s\n" "${COMPREPLY[@]}"' "$completion/$1" "$@" | sort
}

# What zsh would be told of a command: _arguments is called twice, for the command
# and then for what is behind it.
zsh_offers() # TOOL COMMAND
{
	zsh -f -c '
		cmd=$2
		_arguments() {
			if [[ $1 == -C ]]; then
				state=argument line=($cmd)
				return 1
			fi
			print -rl -- $@
		}
		. $1' - "$completion/_$1" "$2" |
		sed -nE 's/^(\([^)]*\))?(--[a-z-]+)(=?\[.*)/\2/p' | sort
}

try() # TOOL PATH
{
	local name=$1 tool=$2 c summary

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
		is "$(bash_offers "$name" "$c" -- | xargs)" "$(options_of "$tool" "$c" | xargs)" \
			"bash: the options of $name $c"
		if ! type -P zsh >/dev/null; then
			ok 0 "zsh: the options of $name $c # SKIP no zsh here"
			continue
		fi
		is "$(zsh_offers "$name" "$c" 2>&1 | xargs)" "$(options_of "$tool" "$c" | xargs)" \
			"zsh: the options of $name $c"
	done <commands
	! type -P zsh >/dev/null || zsh -n "$completion/_$name"
	ok $? "zsh understands all of it"
}

try bow "$BOW"
try blksnap "$BLKSNAP"
finish
