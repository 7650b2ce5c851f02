#!/bin/bash
# Glue between Ignition and this distribution. dracut's own hooks are left out:
# the units of systemd mount the root, and every shell script costs time where
# machines are emulated.

check() {
	return 0
}

depends() {
	echo ignition
}

install() {
	inst_multiple cat chcon journalctl mkdir modprobe mount sed systemctl udevadm umount
	inst_script "$moddir/ignition-platform" /usr/sbin/ignition-platform
	# Ignition's module has put a stand-in there.
	rm -f "$initdir/usr/sbin/ignition-kargs-helper"
	inst_script "$moddir/ignition-kargs-helper" /usr/sbin/ignition-kargs-helper
	inst_script "$moddir/ignition-presets" /usr/sbin/ignition-presets
	local unit
	for unit in ignition-platform ignition-network ignition-presets; do
		inst_simple "$moddir/$unit.service" "$systemdsystemunitdir/$unit.service"
		mkdir -p "$initdir/$systemdsystemunitdir/ignition-complete.target.requires"
		ln_r "$systemdsystemunitdir/$unit.service" "$systemdsystemunitdir/ignition-complete.target.requires/$unit.service"
	done
	inst_simple "$moddir/emergency.service" "$systemdsystemunitdir/emergency.service"
	inst_simple "$moddir/emergency.service" "$systemdsystemunitdir/rescue.service"
	inst_simple "$moddir/initrd-dhcp.network" /etc/systemd/network/50-dhcp.network

	# The network is up only when ignition-network.service starts it.
	rm -rf "$initdir"/etc/systemd/system/*.wants/systemd-networkd* \
		"$initdir"/etc/systemd/system/*.wants/systemd-resolved* \
		"$initdir"/etc/systemd/system/*.wants/systemd-network-generator* \
		"$initdir/$systemdsystemunitdir"/*.wants/systemd-networkd* \
		"$initdir/$systemdsystemunitdir"/*.wants/systemd-resolved* \
		"$initdir/$systemdsystemunitdir"/*.wants/systemd-network-generator* \
		"$initdir/$systemdsystemunitdir"/*.wants/systemd-sysusers*
	# Names of devices, which only people read: 13 MB.
	rm -f "$initdir/usr/lib/udev/hwdb.bin" "$initdir/etc/udev/hwdb.bin"
}
