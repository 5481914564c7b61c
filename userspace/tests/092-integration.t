#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What calls `bow boot` from systemd, udev, initramfs-tools and dracut: what is installed,
# and that it does what it says, with a tool that only writes down how it was called.

top=$(realpath "$(dirname "$(realpath "$0")")/..")
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bin=$(dirname "$(realpath "$BOW")")
dest=$PWD/dest
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL

integration() # TARGET
{
	make -C "$top" "$1-integration" B="$bin" DESTDIR="$dest" PREFIX="${PREFIX:-/usr}"
}

# ---- what is installed ----------------------------------------------------------------

PREFIX=/usr/local exits 0 "make install" integration install
find "$dest" -type f >files
for f in usr/local/lib/systemd/system/bow-{activate,protect,good,commit,reboot}.service \
	usr/local/lib/systemd/system-generators/bow-generator \
	usr/local/lib/udev/rules.d/{58,65}-dm-cow.rules usr/local/lib/udev/dm-cow-id \
	usr/local/share/dm-cow/bow.sh usr/share/initramfs-tools/hooks/bow \
	usr/share/initramfs-tools/scripts/local-{top,block,bottom}/bow \
	usr/lib/dracut/modules.d/90bow/{module-setup,bow-activate,bow-protect}.sh; do
	grep -qx "$dest/$f" files
	ok $? "$f"
done
! xargs grep -l '@[A-Z]*DIR@' <files
ok $? "nothing is left to be filled in"
PREFIX=/usr/local exits 0 "make uninstall" integration uninstall
is "$(find "$dest" -type f)" "" "and nothing is left"

integration install >/dev/null
units=$dest/usr/lib/systemd/system
for u in "$units"/bow-*.service; do
	sed "s,/usr/sbin/bow,$bin/bow,g" "$u" >"${u##*/}"
	verb=$(sed -n 's,^Exec.*=.*sbin/bow boot \([a-z]*\).*,\1,p' "$u")
	exits 0 "${u##*/}: the verb $verb is there" "$BOW" boot "$verb" --help
done
if command -v systemd-analyze >/dev/null; then
	exits 0 "systemd-analyze verify" systemd-analyze verify --man=no ./bow-*.service
	! grep bow- err
	ok $? "and it has nothing to say of them"
fi

# ---- the generator ------------------------------------------------------------------------

generator=$dest/usr/lib/systemd/system-generators/bow-generator
if command -v systemd-escape >/dev/null; then
	cat >bow.conf <<-'END'
	# a comment
	set state /boot/bow/state
	set system cmdline root   # another
	PARTLABEL=user-data  my-data  /srv/user\040data  defaults

	/dev/sdb2	root	/	on_full=hold
	END
	mkdir out1 out2 out3
	BOW_CONF=$PWD/bow.conf exits 0 "bow-generator" "$generator" out1 out1 out1
	cat out1/bow-activate.service.d/50-bow.conf >activate
	says activate '^After=dev-disk-by.x2dpartlabel-user.x2ddata.device$' "a partition is waited for"
	says activate '^Wants=dev-sdb2.device$' "a path too, and not required"
	says activate '^RequiresMountsFor=/boot/bow/state$' "the state file is there before"
	says 'out1/dev-mapper-my\x2ddata.device.d/50-bow.conf' '^After=bow-activate.service$' \
		"the time limit of the device begins after a rollback"
	says 'out1/systemd-fsck@dev-mapper-my\x2ddata.service.d/50-bow.conf' \
		'^After=bow-activate.service$' "and it is checked after that"
	[ ! -e out1/-.mount.d ]
	ok $? "root is mounted already"
	for u in activate protect; do
		is "$(readlink out1/local-fs.target.requires/bow-$u.service)" \
			"/usr/lib/systemd/system/bow-$u.service" "bow-$u.service is started"
	done
	printf '%s\n' 'set state bow/state' 'set state_device LABEL=BOOT vfat' \
		'/dev/sda5 data /data defaults' >bow.conf
	BOW_CONF=$PWD/bow.conf exits 0 "the state on a device of its own" "$generator" out2
	! grep -q RequiresMountsFor out2/bow-activate.service.d/50-bow.conf
	ok $? "is not waited for as a mount"
	says out2/bow-activate.service.d/50-bow.conf '^After=dev-disk-by.x2dlabel-BOOT.device$' \
		"but as a device"
	says out2/data.mount.d/50-bow.conf '^Requires=bow-activate.service$' "mounted after it"
	says out2/bow-protect.service.d/50-bow.conf '^After=data.mount$' "protected after that"
	BOW_CONF=$PWD/none exits 0 "no bow.conf" "$generator" out3
	is "$(ls out3)" "" "nothing is started"
	mkdir out4 out5
	printf 'set state /boot/state\n/dev/sda5 data /data defaults' >bow.conf
	BOW_CONF=$PWD/bow.conf exits 0 "a last line without end" "$generator" out4
	says out4/data.mount.d/50-bow.conf '^Requires=bow-activate.service$' "it counts"
	printf '%s\n' '/dev/sda5 data /../data defaults' >bow.conf
	BOW_CONF=$PWD/bow.conf "$generator" out5 2>/dev/null || :
	[ -L out5/local-fs.target.requires/bow-activate.service ]
	ok $? "a line that cannot be used: bow-activate.service tells of it"
fi

# ---- the initramfs ----------------------------------------------------------------------------

mkdir stub
cat >stub/bow <<'END'
#!/bin/sh
echo "bow $*" >>"$LOG"
exit "${STATUS:-0}"
END
chmod +x stub/bow
lib=$dest/usr/share/dm-cow/bow.sh
export LOG=$PWD/log

in_initramfs() # SHELL... COMMANDS
{
	local commands=${*: -1}

	set -- "${@:1:$#-1}"
	: >log
	PATH=$PWD/stub:$PATH BOW_CONF=$PWD/bow.conf "$@" -euc ". $lib; $commands"
}

shells=("bash --posix" dash)
! command -v busybox >/dev/null || shells+=("busybox sh")
for sh in "${shells[@]}"; do
	command -v "${sh%% *}" >/dev/null || continue
	read -ra sh <<<"$sh"
	printf '%s\n' '# no root' 'set state /boot/state' 'set mark_bad /sbin/mark bad' \
		'/dev/vdb data /data defaults' >bow.conf
	is "$(in_initramfs "${sh[@]}" bow_early_names)" "" "${sh[*]}: data are not needed early"
	exits 0 "nothing is done for them" in_initramfs "${sh[@]}" 'bow_activate; bow_protect'
	is "$(cat log)" "" "indeed"
	printf '%s\n' 'set state state' 'set state_device LABEL=BOOT vfat' \
		'set system command /usr/bin/which-system now' 'set mark_bad /sbin/mark bad' \
		'/dev/vdb data /data defaults' 'PARTLABEL=root bow-test-root / defaults' >bow.conf
	is "$(in_initramfs "${sh[@]}" bow_early_names)" "bow-test-root" "root is"
	mv bow.conf whole && printf %s "$(cat whole)" >bow.conf
	is "$(in_initramfs "${sh[@]}" bow_early_names)" "bow-test-root" "without a last end of line"
	mv whole bow.conf
	is "$(in_initramfs "${sh[@]}" bow_modules | tr '\n' ' ')" \
		"dm-bow vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 " "modules"
	is "$(in_initramfs "${sh[@]}" bow_programs | tr '\n' ' ')" \
		"/usr/bin/which-system /sbin/mark " "programs"
	exits 0 "activate" in_initramfs "${sh[@]}" bow_activate
	is "$(cat log)" "bow boot activate --kmsg" "all devices at once"
	STATUS=8 exits 0 "a missing device may come" in_initramfs "${sh[@]}" bow_activate
	STATUS=32 exits 0 "a rejected system is run" in_initramfs "${sh[@]}" bow_activate
	STATUS=4 exits 1 "a damaged log ends it" in_initramfs "${sh[@]}" bow_activate
	STATUS=16 exits 1 "a refusal too" in_initramfs "${sh[@]}" bow_activate
	exits 0 "protect" in_initramfs "${sh[@]}" bow_protect
	is "$(cat log)" "bow boot protect --kmsg" "by bow boot"
	printf '%s\n' '#!/bin/sh' 'echo "bow $*" >>"$LOG"' \
		'[ "$2" = activate ] && touch came; [ -e came ] || exit 16' >stub/bow.late
	cp stub/bow stub/bow.usual && cp stub/bow.late stub/bow
	exits 0 "a disk that comes late" in_initramfs "${sh[@]}" bow_protect
	is "$(tr '\n' ' ' <log)" \
		"bow boot protect --kmsg bow boot activate --kmsg bow boot protect --kmsg " \
		"is made then"
	cp stub/bow.usual stub/bow && rm -f came
	STATUS=32 exits 0 "a rejected system is protected" in_initramfs "${sh[@]}" bow_protect
	for s in 2 4 8 16; do
		STATUS=$s exits 1 "no checkpoint ($s): the system is not started" \
			in_initramfs "${sh[@]}" bow_protect
	done
done

# dracut's own functions write down what they are asked for.
sed "s,\. \"/usr/share/dm-cow/bow.sh\",. $lib," \
	"$dest/usr/lib/dracut/modules.d/90bow/module-setup.sh" >module-setup.sh
dracut() # COMMANDS
{
	BOW_CONF=$PWD/bow.conf moddir=/m bash -euc '
		for f in inst_multiple inst_simple inst_rules inst_hook instmods; do
			eval "$f() { echo $f \$*; }"
		done
		require_binaries() { :; }
		. ./module-setup.sh
		'"$1"
}
exits 0 "dracut: root on bow is taken" dracut check
dracut install >installed
says installed '^inst_multiple /usr/sbin/bow$' "dracut: the tool"
says installed '^inst_hook pre-mount 50 /m/bow-activate.sh$' "activate before the mount"
says installed '^inst_hook pre-pivot 05 /m/bow-protect.sh$' "protect after it"
is "$(dracut installkernel)" "instmods dm-bow vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8" \
	"dracut: modules"
sed -i '/ \/ /d' bow.conf
exits 255 "dracut: nothing to do without" dracut check

# ---- udev ------------------------------------------------------------------------------------

id=$dest/usr/lib/udev/dm-cow-id
log_with seed=1
is "$("$id" image | tr '\n' ' ')" "ID_FS_TYPE=DM_cow_log ID_FS_USAGE=other UDISKS_IGNORE=1 " \
	"udev: a log is known"
head -c 65536 /dev/zero >zero
is "$("$id" zero)" "" "udev: an empty device has none"
is "$("$id" nothing)" "" "udev: nor one that is not there"
says "$dest/usr/lib/udev/rules.d/65-dm-cow.rules" '"/usr/lib/udev/dm-cow-id \$devnode"' \
	"the rule calls it"
finish
