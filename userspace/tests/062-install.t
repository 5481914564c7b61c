#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make install and make uninstall, of the tools and of the documentation.

top=$(realpath "$(dirname "$(realpath "$0")")/../..")
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
built=$(dirname "$(realpath "$BOW")")
dest="$PWD/dest"
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL

tools() # TARGET
{
	make -C "$top/userspace" "$1" B="$built" DESTDIR="$dest" PREFIX=/usr/local
}

documents() # TARGET
{
	make -C "$top" "$1" DESTDIR="$dest" PREFIX=/usr/local
}

files()
{
	(cd "$dest" && find . ! -type d | sort)
}

# Files of others, in directories that are ours or not.
doc=usr/local/share/doc/dm-cow
mkdir -p "$dest/usr/local/sbin" "$dest/$doc/Documentation"
touch "$dest/usr/local/sbin/other" "$dest/$doc/Documentation/mine"
files >others

exits 0 "make install: the tools" tools install
exits 0 "make install: the documentation" documents install-doc
for f in sbin/bow sbin/blksnap share/man/man8/bow.8 share/man/man8/blksnap.8 \
	share/bash-completion/completions/bow share/bash-completion/completions/blksnap \
	share/zsh/site-functions/_bow share/zsh/site-functions/_blksnap \
	lib/systemd/system/blksnap-monitor.service \
	share/doc/dm-cow/README.md \
	share/doc/dm-cow/Documentation/admin-guide/device-mapper/dm-bow.rst; do
	[ -s "$dest/usr/local/$f" ]
	ok $? "$f is installed"
done
says "$dest/usr/local/lib/systemd/system/blksnap-monitor.service" \
	'^ExecStart=/usr/local/sbin/blksnap ' "the service starts what is installed"
is "$("$dest/usr/local/sbin/bow" --version)" "$("$BOW" --version)" "it can be run"
is "$(find "$dest" -path '*bin/*' -type f -perm /0111 | wc -l)" 2 "the tools, and nothing else"

exits 0 "make uninstall: the tools" tools uninstall
exits 0 "make uninstall: the documentation" documents uninstall-doc
files >left
is "$(cat left)" "$(cat others)" "what others have put there is left, and nothing else"
exits 0 "once more: the tools" tools uninstall
rm "$dest/$doc/Documentation/mine"
exits 0 "once more: the documentation" documents uninstall-doc
[ ! -e "$dest/$doc" ]
ok $? "a directory of ours goes when it is empty"
finish
