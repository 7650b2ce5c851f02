package qemu

import (
	"fmt"
	"strconv"
	"strings"

	"seatrial/internal/clusterhost"
	"seatrial/platforms"
)

const (
	// fdTPM connects QEMU and the emulated TPM.
	fdTPM = "tpm"
	// agentPort is the name of the port at which a template's agent waits.
	agentPort = "seatrial.agent"
)

// launch is all that the command line of a machine depends on.
type launch struct {
	arch     arch
	accel    string
	emulator string // path of the binary
	name     string

	cpus, memoryMiB int
	firmware        platforms.Firmware
	uefi            uefiFirmware // unless firmware is BIOS
	varsFile        string       // the machine's copy of the UEFI variables, qcow2
	flash           string       // file with the UEFI code alone, for a machine whose state holds the variables
	disk            string       // overlay of the image, qcow2
	disks           []extraDisk
	seed            string // NoCloud volume; empty for none
	ignition        string // Ignition config; empty for none
	tpm             bool
	nics            []clusterhost.NIC

	ram      string // file of the memory; empty for memory of its own
	incoming bool   // a state is to be restored: nothing is written to the file of the memory
}

type extraDisk struct{ file, serial string }

// args is the command line. The order of the devices is that of their PCI addresses, so new ones
// go to the end.
func (l launch) args() []string {
	args := []string{
		l.emulator, "-name", "guest=" + escape(l.name), "-no-user-config", "-nodefaults", "-display", "none",
		"-machine", l.machineOptions(),
		"-accel", accelOptions(l.accel),
		"-cpu", l.arch.cpu(l.accel),
		"-smp", strconv.Itoa(l.cpus),
		"-m", strconv.Itoa(l.memoryMiB),
		"-object", l.memoryBackend(),
		"-boot", "strict=on", // a disk that does not boot is not followed by the network
		"-chardev", "socket,id=monitor,fd={fd:" + clusterhost.FDMonitor + "}", "-mon", "chardev=monitor,mode=control",
		"-chardev", "socket,id=console,fd={fd:" + clusterhost.FDConsole + "}", "-serial", "chardev:console",
	}
	args = append(args, l.firmwareArgs()...)
	args = append(args,
		"-blockdev", blockdev("disk", "qcow2", l.disk, "cache.no-flush=on"),
		"-device", "virtio-blk-pci,drive=disk,bootindex=0",
		"-device", "virtio-rng-pci",
	)
	for _, n := range l.nics {
		args = append(args,
			"-netdev", fmt.Sprintf("stream,id=%s,server=off,addr.type=fd,addr.str={fd:%s}", n.ID, n.ID),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=%s,mac=%s,romfile=", n.ID, n.MAC))
	}
	for i, d := range l.disks {
		node := fmt.Sprintf("disk%d", i+1)
		args = append(args,
			"-blockdev", blockdev(node, "qcow2", d.file, "cache.no-flush=on"),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=%s,serial=%s", node, escape(d.serial)))
	}
	if l.seed != "" {
		args = append(args, "-blockdev", blockdev("seed", "raw", l.seed, "read-only=on"), "-device", "virtio-blk-pci,drive=seed")
	}
	if l.ignition != "" {
		// The keys of Fedora CoreOS and of Flatcar.
		for _, key := range []string{"opt/com.coreos/config", "opt/org.flatcar-linux/config"} {
			args = append(args, "-fw_cfg", "name="+key+",file="+escape(l.ignition))
		}
	}
	if l.tpm {
		args = append(args,
			"-chardev", "socket,id=tpm,fd={fd:"+fdTPM+"}", "-tpmdev", "emulator,id=tpm,chardev=tpm",
			"-device", l.arch.tpmDevice+",tpmdev=tpm")
	}
	args = append(args,
		"-chardev", "socket,id=channel,fd={fd:"+clusterhost.FDChannel+"}", "-device", "virtio-serial-pci",
		"-device", "virtserialport,id=channel,chardev=channel,name="+agentPort)
	if l.incoming {
		args = append(args, "-incoming", "defer")
	}
	return args
}

// memoryBackend is the machine's memory. A file is written to by the machine that becomes a
// template, and mapped privately by its forks, which share what they do not change.
func (l launch) memoryBackend() string {
	if l.ram == "" {
		return fmt.Sprintf("memory-backend-ram,id=ram,size=%dM", l.memoryMiB)
	}
	share := "on"
	if l.incoming {
		share = "off"
	}
	return fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=%s,share=%s", l.memoryMiB, escape(l.ram), share)
}

// machineOptions are the properties of the machine type.
func (l launch) machineOptions() string {
	o := l.arch.machine + ",memory-backend=ram"
	switch {
	case l.arch.name == "arm64":
		o += "," + l.arch.gic(l.accel)
	case l.firmware == platforms.BIOS:
		o += ",graphics=off" // SeaBIOS then speaks on the serial port
	case l.firmware == platforms.UEFISecure:
		o += ",smm=on"
	}
	if l.firmware != platforms.BIOS && l.flash == "" {
		o += ",pflash0=code,pflash1=vars"
	}
	return o
}

// firmwareArgs are the flash devices of UEFI.
func (l launch) firmwareArgs() []string {
	switch {
	case l.firmware == platforms.BIOS:
		return nil
	case l.flash != "":
		return []string{"-bios", l.flash}
	}
	args := []string{
		"-blockdev", blockdev("code", l.uefi.Code.Format, l.uefi.Code.Filename, "read-only=on"),
		"-blockdev", blockdev("vars", "qcow2", l.varsFile, "cache.no-flush=on"),
	}
	if l.uefi.SMM {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
	}
	return args
}

// blockdev describes a disk in a file, with an option for both of its layers.
func blockdev(node, format, file, option string) string {
	return fmt.Sprintf("driver=%s,node-name=%s,%s,file.driver=file,file.filename=%s,file.%s",
		format, node, option, escape(file), option)
}

// swtpm is the process of an emulated TPM with its state in a directory.
func swtpm(path, stateDir string) clusterhost.Process {
	return clusterhost.Process{Name: "swtpm", Argv: []string{
		path, "socket", "--tpm2", "--tpmstate", "dir=" + stateDir, "--ctrl", "type=unixio,clientfd={fd:" + fdTPM + "}", "--terminate",
	}}
}

// escape protects a value in QEMU's option syntax.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
