# SPDX-License-Identifier: GPL-2.0-or-later
#
# What calls `bow boot`: systemd, udev, initramfs-tools, dracut. A part of Makefile.

UDEVDIR ?= $(PREFIX)/lib/udev
GENERATORDIR ?= $(PREFIX)/lib/systemd/system-generators
BOOTDIR ?= $(PREFIX)/share/dm-cow
# These two look nowhere else.
INITRAMFSDIR ?= /usr/share/initramfs-tools
DRACUTDIR ?= /usr/lib/dracut/modules.d

fill = sed 's,@SBINDIR@,$(SBINDIR),g; s,@UNITDIR@,$(UNITDIR),g; s,@UDEVDIR@,$(UDEVDIR),g; \
	s,@BOOTDIR@,$(BOOTDIR),g'

units := $(addprefix bow-,activate.service protect.service good.service commit.service \
	reboot.service)
initramfs_scripts := local-top local-block local-bottom

# SOURCE, below here, to PLACE, with MODE; the names of directories are filled in.
define put
$(INSTALL) -d $(DESTDIR)$(dir $(2))
$(fill) $(here)/$(1) >$(DESTDIR)$(2)
chmod $(3) $(DESTDIR)$(2)

endef

# All of that, as PLACE, and what each is made of.
integration := \
	$(foreach u,$(units),systemd/$(u).in|$(UNITDIR)/$(u)|644) \
	systemd/bow-generator.in|$(GENERATORDIR)/bow-generator|755 \
	udev/58-dm-cow.rules|$(UDEVDIR)/rules.d/58-dm-cow.rules|644 \
	udev/65-dm-cow.rules.in|$(UDEVDIR)/rules.d/65-dm-cow.rules|644 \
	udev/dm-cow-id|$(UDEVDIR)/dm-cow-id|755 \
	initramfs/bow.sh|$(BOOTDIR)/bow.sh|644 \
	initramfs/initramfs-tools/hook.in|$(INITRAMFSDIR)/hooks/bow|755 \
	$(foreach s,$(initramfs_scripts),\
		initramfs/initramfs-tools/$(s)|$(INITRAMFSDIR)/scripts/$(s)/bow|755) \
	initramfs/dracut/90bow/module-setup.sh.in|$(DRACUTDIR)/90bow/module-setup.sh|755 \
	initramfs/dracut/90bow/bow-activate.sh|$(DRACUTDIR)/90bow/bow-activate.sh|755 \
	initramfs/dracut/90bow/bow-protect.sh|$(DRACUTDIR)/90bow/bow-protect.sh|755

part = $(word $(1),$(subst |, ,$(2)))

.PHONY: install-integration uninstall-integration
install: install-integration
install-integration:
	$(foreach f,$(integration),$(call put,$(call part,1,$(f)),$(call part,2,$(f)),$(call part,3,$(f))))

uninstall: uninstall-integration
uninstall-integration:
	rm -f $(foreach f,$(integration),$(DESTDIR)$(call part,2,$(f)))
