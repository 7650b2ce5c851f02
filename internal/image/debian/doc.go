// Package debian builds the reference image: a Debian 12 disk in qcow2 with
// known properties, for amd64 and arm64, on a host of either.
//
// What is in it is said by the files in recipe/, how it comes about by this
// package, which calls the distribution's own tools:
//
//  1. Resolve asks the package archives for versions; recipe and versions are
//     the key of an image.
//  2. mmdebstrap installs the packages for the host's architecture, the recipe's
//     files and script configure them, and dracut makes the initramfs.
//  3. For the other architecture, transplant exchanges the packages' files and
//     keeps the configuration, and initramfs does the same to the initramfs. No
//     maintainer script runs under emulation, where the thousands of short
//     processes that they start would take many times longer.
//  4. The disk is assembled without mounts: mke2fs fills the root, debugfs sets
//     its SELinux labels (computed by selabel), mtools fill the EFI system
//     partition, and GRUB for BIOS is linked into place.
//
// It needs the rights of root, for the owners of files and for chroot. It knows
// nothing of caches and of builds side by side; package image does.
package debian
