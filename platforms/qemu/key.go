package qemu

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"seatrial/internal/agent"
	"seatrial/internal/clusterhost"
	"seatrial/internal/provision"
	"seatrial/platforms"
)

// templateFormat is raised when templates are made in another way.
const templateFormat = 5

// templateKey is all that a template depends on. Templates of different keys are not of the same
// machine.
type templateKey struct {
	Format   int
	Image    string
	Path     string // of the image: disks refer to it
	QEMU     string
	Args     []string
	Files    []string // identities of files that the arguments name
	Host     string   // what KVM takes from this host
	Disks    []platforms.Disk
	GrowMiB  int
	NICs     int
	User     string
	UserData []byte // without keys
	Prepare  string // by the spec
	Prepared []byte // digest of what else is done to it
}

// templateKeyOf returns the key for machines of a spec, as a digest. The error wraps ErrUnsupported
// if they are never forked, and says why.
func (p *Platform) templateKeyOf(spec platforms.MachineSpec) (string, error) {
	never := func(why string) (string, error) {
		return "", fmt.Errorf("%s: %w", why, platforms.ErrUnsupported)
	}
	switch {
	case p.options.TemplateDir == "":
		return never("templates are off")
	case spec.Cold:
		return never("it is asked to start cold")
	case spec.TPM:
		return never("a TPM's state is its own")
	case spec.NoSSHKey:
		return never("its user data brings its own SSH key")
	}
	spec.Name = templateName
	if err := p.check(spec); err != nil {
		return "", err
	}
	data, err := p.commonUserData(spec)
	if err != nil {
		return "", err
	}
	k := templateKey{
		Format: templateFormat, Image: p.options.Image.Digest, Path: p.options.Image.Path, QEMU: p.emulator.text,
		Args: p.canonicalArgs(spec), Disks: spec.Disks, GrowMiB: spec.GrowDiskMiB, NICs: max(1, len(spec.Networks)),
		User: p.options.User, UserData: data, Prepare: spec.Prepare, Prepared: preparation(),
	}
	files := []string{p.emulator.path}
	if p.options.Image.Digest == "" {
		files = append(files, p.options.Image.Path)
	}
	if fw := orDefault(spec.Firmware, p.arch.defaultFirmware()); fw != platforms.BIOS {
		files = append(files, p.firmware[fw].Code.Filename, p.firmware[fw].Vars.Filename)
	}
	for _, f := range files {
		id, err := identity(f)
		if err != nil {
			return "", err
		}
		k.Files = append(k.Files, id)
	}
	if p.accel == AccelKVM {
		if k.Host, err = hostCPU(); err != nil {
			return "", err
		}
	}
	encoded, err := json.Marshal(k)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16]), nil
}

// commonUserData is the user data of all machines of a spec. What cloud-init does depends on the
// instance, also at later boots, so only Ignition's can be common.
func (p *Platform) commonUserData(spec platforms.MachineSpec) ([]byte, error) {
	var rendered [2]provision.Rendered
	for i, nics := range [][]clusterhost.NIC{
		{{IPv4: addr("192.0.2.1"), IPv6: addr("2001:db8::1")}}, {{IPv4: addr("192.0.2.2"), IPv6: addr("2001:db8::2")}},
	} {
		var err error
		if rendered[i], err = p.render(spec, nil, variables(fmt.Sprintf("m%d", i), nics)); err != nil {
			return nil, err
		}
	}
	switch kind := rendered[0].Kind; {
	case kind != provision.Ignition && kind != provision.Empty:
		return nil, fmt.Errorf("user data of the kind %v is for one instance: %w", kind, platforms.ErrUnsupported)
	case !bytes.Equal(rendered[0].Data, rendered[1].Data):
		return nil, fmt.Errorf("its user data names its addresses: %w", platforms.ErrUnsupported)
	}
	return rendered[0].Data, nil
}

// canonicalArgs is the command line of a machine of the spec, with files and addresses that stand
// for any.
func (p *Platform) canonicalArgs(spec platforms.MachineSpec) []string {
	l := p.launch(spec)
	l.name, l.disk, l.varsFile, l.ignition, l.ram = "name", "disk", "vars", "ignition", "ram"
	for i, d := range spec.Disks {
		l.disks = append(l.disks, extraDisk{file: fmt.Sprint(i), serial: d.Serial})
	}
	for i := range max(1, len(spec.Networks)) {
		l.nics = append(l.nics, clusterhost.NIC{ID: fmt.Sprintf("nic%d", i), MAC: "mac"})
	}
	return l.args()
}

// identity changes when a file is replaced or written to.
func identity(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	return fmt.Sprintf("%s %d %d", path, st.Size, st.Mtim.Nano()), nil
}

// hostCPU describes the host's CPU, which KVM shows to guests.
func hostCPU() (string, error) {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	first, _, _ := bytes.Cut(data, []byte("\n\n"))
	lines := bytes.Split(first, []byte("\n"))
	lines = slices.DeleteFunc(lines, func(l []byte) bool { return bytes.HasPrefix(l, []byte("cpu MHz")) })
	return string(bytes.Join(lines, []byte("\n"))), nil
}

// preparation is a digest of what is done to a machine before it becomes a template.
func preparation() []byte {
	h := sha256.New()
	fmt.Fprint(h, settleScript, idleScript, loginScript, startScript)
	for _, arch := range []string{"amd64", "arm64"} {
		data, err := agent.Binary(arch)
		fmt.Fprint(h, len(data), err)
		h.Write(data)
	}
	return h.Sum(nil)
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
