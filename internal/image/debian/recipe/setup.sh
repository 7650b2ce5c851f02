#!/bin/sh
# Configures the installed root, in a chroot of the build host's architecture.
# All that it does must hold for the other architecture, too: its result is
# carried over to the packages of that architecture.
set -eu

groupadd --gid 500 core
useradd --uid 500 --gid 500 --create-home --shell /bin/bash --comment "" --groups sudo,adm,systemd-journal,docker core
# What is made in it later gets its SELinux label.
install --directory --owner=core --group=core --mode=0700 /home/core/.ssh
passwd --lock root >/dev/null
chmod 0440 /etc/sudoers.d/core

systemctl enable --quiet systemd-networkd systemd-resolved systemd-timesyncd ssh sshd-keygen ignition-firstboot-complete docker.socket auditd
systemctl disable --quiet docker.service containerd.service etcd.service \
	podman-auto-update.service podman-auto-update.timer podman-restart.service podman.service podman.socket \
	systemd-journal-gatewayd.socket systemd-journal-remote.socket systemd-journal-upload.service \
	nfs-server.service nfs-client.target nfs-blkmap.service rpcbind.service rpcbind.socket \
	e2scrub_reap.service e2scrub_all.timer fstrim.timer \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	remote-fs.target getty@tty1.service systemd-network-generator.service 2>/dev/null || true
systemctl set-default --quiet multi-user.target
# Of no use here, slow to start under emulation, or slow to end: there is no
# initramfs to go back to at the end.
systemctl mask --quiet systemd-firstboot.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
	mdadm-shutdown.service dracut-shutdown.service

# The message of the day is made by programs at each login: most of a second
# under emulation.
sed -i '/pam_motd/d' /etc/pam.d/sshd

augenrules >/dev/null
semodule --noreload --install /tmp/selinux/*.cil

# Identities are made by the first boot.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_* /etc/hostname /var/lib/systemd/random-seed
ln -s /etc/machine-id /var/lib/dbus/machine-id
rm -f /initrd.img* /vmlinuz* /etc/apt/sources.list.d/*
touch /boot/ignition.firstboot
mkdir -p /boot/efi /var/log/journal

