package qemu

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"seatrial/internal/sshx"
	"seatrial/platforms"
)

// BenchmarkFork compares forks with a cold boot of the same image in the same run. It reports
// medians: seconds to the first command over the agent, with a network identity of its own, and
// over SSH; how many times faster than a cold boot the first is; and what a fork adds to the memory
// in use.
func BenchmarkFork(b *testing.B) {
	for arch, image := range guestImages(b) {
		b.Run(arch, func(b *testing.B) {
			p := forkPlatform(b, arch, image)
			cold := bootTime(b, p, platforms.MachineSpec{Name: "m0", Cold: true})
			var first, next, ssh, own []time.Duration
			for b.Loop() {
				began := time.Now()
				c, ms := bootIn(b, p, platforms.MachineSpec{Name: "m0"})
				mustFork(b, ms[0])
				guestRun(b, ms[0], "true")
				first = append(first, time.Since(began))
				again := time.Now()
				guestRun(b, ms[0], "true")
				next = append(next, time.Since(again))
				destroy(b, c)
				ssh = append(ssh, sshTime(b, p))
				own = append(own, secondTime(b, p))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(cold.Seconds(), "s-cold")
			b.ReportMetric(median(first).Seconds(), "s-first")
			b.ReportMetric(median(next).Seconds(), "s-next")
			b.ReportMetric(median(own).Seconds(), "s-own-network")
			b.ReportMetric(median(ssh).Seconds(), "s-ssh")
			b.ReportMetric(cold.Seconds()/median(first).Seconds(), "x-cold/fork")
			b.ReportMetric(forkMemory(b, p), "MiB-PSS/fork")
		})
	}
}

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

// bootTime is the time to the first command.
func bootTime(b *testing.B, p *Platform, spec platforms.MachineSpec) time.Duration {
	b.Helper()
	began := time.Now()
	c, ms := bootIn(b, p, spec)
	guestRun(b, ms[0], "true")
	d := time.Since(began)
	destroy(b, c)
	return d
}

// sshTime is the time to the first command over SSH.
func sshTime(b *testing.B, p *Platform) time.Duration {
	b.Helper()
	began := time.Now()
	c, ms := bootIn(b, p, platforms.MachineSpec{Name: "m0"})
	defer destroy(b, c)
	mustFork(b, ms[0])
	client, err := sshx.WaitReady(b.Context(), ms[0].dialSSH, ms[0].sshConfig, nil)
	if err == nil {
		_, err = client.Run(b.Context(), platforms.Command{Line: "true"})
	}
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	return time.Since(began)
}

// secondTime is the time to the first command on a fork that cannot have its template's addresses.
func secondTime(b *testing.B, p *Platform) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	c, err := p.NewCluster(ctx, platforms.ClusterSpec{Name: "c", Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer destroy(b, c.(*Cluster))
	var facts templateFacts
	key, err := p.templateKeyOf(platforms.MachineSpec{})
	if err != nil {
		b.Fatal(err)
	}
	lease, err := p.templates().Use(ctx, key, &facts)
	if err != nil {
		b.Fatal(err)
	}
	defer lease.Close()
	// Another machine has them, which need not run.
	if _, err := c.(*Cluster).client.Announce(ctx, "other", nil, facts.NICs); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	m, err := c.Boot(ctx, platforms.MachineSpec{Name: "m1"})
	if err != nil {
		b.Fatal(err)
	}
	mustFork(b, m.(*Machine))
	guestRun(b, m.(*Machine), "true")
	return time.Since(began)
}

// forkMemory is the proportional set size of each of several emulators, in MiB.
func forkMemory(b *testing.B, p *Platform) float64 {
	b.Helper()
	specs := make([]platforms.MachineSpec, 4)
	for i := range specs {
		specs[i].Name = fmt.Sprintf("m%d", i)
	}
	c, ms := bootIn(b, p, specs...)
	for _, m := range ms {
		mustFork(b, m)
		guestRun(b, m, "true")
	}
	total := 0
	for _, pid := range childrenOf(b, hostProcess(b, c)) {
		total += pss(b, pid)
	}
	return float64(total) / 1024 / float64(len(specs))
}

func hostProcess(b *testing.B, c *Cluster) int {
	b.Helper()
	info, err := c.client.Info(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return info.PID
}

func childrenOf(b *testing.B, pid int) []string {
	b.Helper()
	var all []string
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range tasks {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, strings.Fields(string(data))...)
	}
	return all
}

// pss reads a process's share of the memory in KiB.
func pss(b *testing.B, pid string) int {
	b.Helper()
	f, err := os.Open("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "Pss:" {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("process %s has no proportional set size", pid)
	return 0
}
