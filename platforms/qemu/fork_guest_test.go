package qemu

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"seatrial/platforms"
)

var (
	templateDir = flag.String("templates", "", "where tests of guests keep templates; a directory of their own if empty")
	forkCount   = flag.Int("forks", 20, "how many machines TestForks forks in a row")
)

// forkPlatform is a platform of an image, and a template that is there.
func forkPlatform(t testing.TB, arch, image string) *Platform {
	t.Helper()
	o := testOptions(t, arch, image)
	o.Accel, o.TemplateDir = AccelAuto, *templateDir
	if o.TemplateDir == "" {
		o.TemplateDir = t.TempDir()
	}
	p, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := p.Template(ctx, platforms.MachineSpec{}); err != nil {
		t.Fatal(err)
	}
	if !p.HasTemplate(platforms.MachineSpec{}) {
		t.Fatal("the template that was made is not there")
	}
	return p
}

// bootIn boots machines in a cluster of their own, all at once.
func bootIn(t testing.TB, p *Platform, specs ...platforms.MachineSpec) (*Cluster, []*Machine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c, err := p.NewCluster(ctx, platforms.ClusterSpec{Name: "c", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, c.(*Cluster)) })
	machines := make([]*Machine, len(specs))
	group, ctx := errgroup.WithContext(ctx)
	for i, spec := range specs {
		group.Go(func() error {
			m, err := c.Boot(ctx, spec)
			if err == nil {
				machines[i] = m.(*Machine)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return c.(*Cluster), machines
}

func destroy(t testing.TB, c *Cluster) {
	t.Helper()
	if err := c.Destroy(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func mustFork(t testing.TB, m *Machine) {
	t.Helper()
	if how, fallback := m.Started(); how != platforms.StartFork {
		t.Fatalf("it started %s: %v", how, fallback)
	}
}

func guestRun(t testing.TB, m *Machine, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := m.Exec(ctx, platforms.Command{Line: line})
	if err != nil || r.ExitCode != 0 {
		t.Fatalf("%s: exit status %d, %s, %v", line, r.ExitCode, r.Stderr, err)
	}
	return strings.TrimSpace(string(r.Stdout))
}

// firstRandoms are the first random numbers in a fork that its kernel gives, and that a command sees.
func firstRandoms(t testing.TB, m *Machine) []string {
	t.Helper()
	first, err := m.agent.Random(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return []string{fmt.Sprintf("%x", first), guestRun(t, m, "head -c 16 /dev/urandom | od -A n -t x1")}
}

// TestForks: forks in a row are machines of their own, and nothing is left of them.
func TestForks(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			p := forkPlatform(t, arch, image)
			seen := make(map[string]int)
			var before, after string
			for i := range *forkCount {
				began := time.Now()
				t.Run("fork", func(t *testing.T) {
					_, ms := bootIn(t, p, platforms.MachineSpec{Name: "m0"})
					mustFork(t, ms[0])
					for _, first := range firstRandoms(t, ms[0]) {
						if j, twice := seen[first]; twice {
							t.Errorf("forks %d and %d have the first random numbers %s", j, i, first)
						}
						seen[first] = i
					}
					t.Logf("%.2f s", time.Since(began).Seconds())
					if i > 0 {
						return
					}
					if got := guestRun(t, ms[0], "hostname"); got != "m0" {
						t.Errorf("its host name is %q", got)
					}
					var clock int64
					if _, err := fmt.Sscan(guestRun(t, ms[0], "date +%s"), &clock); err != nil || time.Since(time.Unix(clock, 0)).Abs() > 10*time.Second {
						t.Errorf("its clock says %v, %v", time.Unix(clock, 0), err)
					}
				})
				if after = leftBehind(t, p); i == 0 {
					before = after
				}
			}
			if before != after {
				t.Errorf("after the first fork there was:\n%s\nafter the last one:\n%s", before, after)
			}
		})
	}
}

// leftBehind describes what this process and the platform hold: descriptors, children, files.
func leftBehind(t *testing.T, p *Platform) string {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, c := range children {
		data, _ := os.ReadFile(c) // a thread that has ended has none
		pids = append(pids, strings.Fields(string(data))...)
	}
	files := 0
	for _, dir := range []string{p.options.StateDir, p.options.RuntimeDir, p.options.TemplateDir} {
		err := filepath.WalkDir(dir, func(string, os.DirEntry, error) error { files++; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%d descriptors, %d children, %d files", len(fds), len(pids), files)
}

// TestForksWithoutSeed: the check of TestForks fails when random generators are not reseeded.
func TestForksWithoutSeed(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			p := forkPlatform(t, arch, image)
			p.noReseed = true
			var all []string
			for range 8 {
				c, ms := bootIn(t, p, platforms.MachineSpec{Name: "m0"})
				mustFork(t, ms[0])
				all = append(all, firstRandoms(t, ms[0])...)
				destroy(t, c)
			}
			slices.Sort(all)
			if len(slices.Compact(slices.Clone(all))) == len(all) {
				t.Errorf("the first random numbers of all forks differ, reseeded or not: %v", all)
			}
		})
	}
}

// TestForkCluster: forks of one template on one network are different machines that reach each other.
func TestForkCluster(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			p := forkPlatform(t, arch, image)
			began := time.Now()
			_, ms := bootIn(t, p, platforms.MachineSpec{Name: "m0"}, platforms.MachineSpec{Name: "m1"}, platforms.MachineSpec{Name: "m2"})
			t.Logf("three forks after %.2f s", time.Since(began).Seconds())
			seen := make(map[string]string)
			for _, m := range ms {
				mustFork(t, m)
				for _, line := range []string{
					"hostname", "cat /sys/class/net/e*/address", "ip -4 -o address show scope global | awk '{print $4}'",
					"ip -6 -o address show scope global | awk '{print $4}'", "ip -6 -o address show scope link | awk '{print $4}'",
				} {
					got := guestRun(t, m, line)
					if got == "" || seen[got] != "" {
						t.Errorf("%s: %s is %q, as that of %q", m.ID(), line, got, seen[got])
					}
					seen[got] = m.ID()
				}
				guestRun(t, m, "[ ! -e /run/systemd/netif/state ] || /lib/systemd/systemd-networkd-wait-online --timeout=30")
				if got := guestRun(t, m, "hostname"); got != m.ID() {
					t.Errorf("%s has the host name %q", m.ID(), got)
				}
				if got := guestRun(t, m, "cat /sys/class/net/e*/address"); got != m.nics[0].MAC {
					t.Errorf("%s has the MAC address %s, its network knows %s", m.ID(), got, m.nics[0].MAC)
				}
				for _, other := range ms {
					for _, a := range other.Addresses() {
						if out := guestRun(t, m, fmt.Sprintf("timeout 20 bash -c 'head -c 3 </dev/tcp/%s/22'", a)); out != "SSH" {
							t.Errorf("%s reached %s at %s and got %q", m.ID(), other.ID(), a, out)
						}
					}
				}
				if out := guestRun(t, m, "getent ahostsv4 m1.test | head -n 1"); !strings.HasPrefix(out, ms[1].Addresses()[0].String()) {
					t.Errorf("%s resolves m1 to %q", m.ID(), out)
				}
			}
		})
	}
}

// TestForkNetworks: a fork finds other prefixes than those of its template.
func TestForkNetworks(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			p := forkPlatform(t, arch, image)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			c, err := p.NewCluster(ctx, platforms.ClusterSpec{Name: "c", Dir: t.TempDir(), Networks: []platforms.NetworkSpec{
				{Name: "lan", IPv4: netip.MustParsePrefix("192.168.7.0/24")},
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer destroy(t, c.(*Cluster))
			began := time.Now()
			m, err := c.Boot(ctx, platforms.MachineSpec{Name: "m0"})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("after %.2f s", time.Since(began).Seconds())
			mustFork(t, m.(*Machine))
			if got := guestRun(t, m.(*Machine), "ip -4 -o address show scope global; ip -4 route"); !strings.Contains(got, m.Addresses()[0].String()+"/24") ||
				!strings.Contains(got, "default via 192.168.7.1") || strings.Contains(got, "10.77.") {
				t.Errorf("it has\n%s", got)
			}
		})
	}
}

// TestForkReboot: a fork that restarts is an ordinary machine, with the addresses that it had.
func TestForkReboot(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			p := forkPlatform(t, arch, image)
			_, ms := bootIn(t, p, platforms.MachineSpec{Name: "m0"}, platforms.MachineSpec{Name: "m1"})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			for _, m := range ms {
				mustFork(t, m)
				boot := guestRun(t, m, "cat /proc/sys/kernel/random/boot_id")
				if err := m.Reboot(ctx); err != nil {
					t.Fatal(err)
				}
				if again := guestRun(t, m, "cat /proc/sys/kernel/random/boot_id"); again == boot {
					t.Errorf("%s has the same boot ID", m.ID())
				}
				if got := guestRun(t, m, "hostname; cat /sys/class/net/e*/address"); got != m.ID()+"\n"+m.nics[0].MAC {
					t.Errorf("%s is %q", m.ID(), got)
				}
			}
		})
	}
}

// TestForkFallback: what cannot be restored is booted, and its template is made anew.
func TestForkFallback(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			for name, damage := range map[string]func(dir string) error{
				"state truncated": func(dir string) error { return os.Truncate(filepath.Join(dir, stateFile), 100_000) },
				"memory removed":  func(dir string) error { return os.Remove(filepath.Join(dir, ramFile)) },
				"state of another": func(dir string) error {
					return os.WriteFile(filepath.Join(dir, stateFile), []byte("QEVM of some other version"), 0o600)
				},
			} {
				t.Run(name, func(t *testing.T) {
					p := forkPlatform(t, arch, image)
					p.sabotage = damage
					_, ms := bootIn(t, p, platforms.MachineSpec{Name: "m0"})
					how, fallback := ms[0].Started()
					if how != platforms.StartCold || fallback == nil {
						t.Fatalf("it started %s: %v", how, fallback)
					}
					t.Logf("fell back: %v", fallback)
					if got := guestRun(t, ms[0], "hostname"); got != "m0" {
						t.Errorf("its host name is %q", got)
					}
					if p.HasTemplate(platforms.MachineSpec{}) {
						t.Error("the damaged template is still trusted")
					}
				})
			}
		})
	}
}

// TestStartsCold: what cannot be forked says so, and starts cold without a complaint.
func TestStartsCold(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image.raw")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, "amd64", image)
	o.TemplateDir = t.TempDir()
	p, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for why, spec := range map[string]platforms.MachineSpec{
		"asked":     {Cold: true},
		"TPM":       {TPM: true},
		"own":       {NoSSHKey: true},
		"instance":  {UserData: []byte("#cloud-config\n")},
		"addresses": {UserData: []byte(`{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/a","contents":{"source":"data:,$private_ipv4"}}]}}`)},
	} {
		if _, err := p.templateKeyOf(spec); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	var keys []string
	for _, spec := range []platforms.MachineSpec{
		{}, {CPUs: 1}, {MemoryMiB: 512}, {Firmware: platforms.UEFI}, {GrowDiskMiB: 1}, {Networks: []string{"a", "b"}},
		{Disks: []platforms.Disk{{SizeMiB: 1, Serial: "a"}}}, {Disks: []platforms.Disk{{SizeMiB: 2, Serial: "a"}}},
		{UserData: []byte(`{"ignition":{"version":"3.0.0"}}`)},
	} {
		key, err := p.templateKeyOf(spec)
		if err != nil || slices.Contains(keys, key) {
			t.Errorf("%+v has the key %s of another, %v", spec, key, err)
		}
		keys = append(keys, key)
	}
	if again, err := p.templateKeyOf(platforms.MachineSpec{Name: "m7", Networks: []string{"x"}}); err != nil || again != keys[0] {
		t.Errorf("a name changes the key: %s, %v", again, err)
	}
	p.emulator.text += " of another release"
	if other, err := p.templateKeyOf(platforms.MachineSpec{}); err != nil || other == keys[0] {
		t.Errorf("another QEMU has the key %s, %v", other, err)
	}
}
