package consolecheck

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlaces(t *testing.T) {
	text := "first line\r\n" + // 12 bytes
		"Failed to start a.service.\r\n" + // 28
		"x\x1b[2JBdsDxe: failed to load Boot0001 x\x1b[02;01HShell> \n" +
		"50%\r100%\rOops: 1\n" +
		strings.Repeat("x", 2*maxLine) + "Oops: not seen\n" +
		"caf\xe9 Failed to start \u202ecaf\u00e9\x07.\n" +
		"Failed to start the last"
	want := []Finding{
		{Rule: "unit-failed", Severity: Fatal, Title: "Failed to start a.service", Text: "Failed to start a.service.", Line: 2, Offset: 12},
		{Rule: "boot-option-failed", Severity: Warn, Title: "firmware: boot option failed: Boot0001",
			Text: "BdsDxe: failed to load Boot0001 x", Line: 3, Offset: 45},
		{Rule: "uefi-shell", Severity: Dead, Title: "UEFI shell", Text: "Shell>", Line: 3, Offset: 86},
		{Rule: "oops", Severity: Fatal, Title: "kernel oops", Text: "Oops: 1", Line: 4, Offset: 103},
		{Rule: "unit-failed", Severity: Fatal, Title: "Failed to start \\u202ecaf",
			Text: "caf\\xe9 Failed to start \\u202ecaf\u00e9.", Line: 6, Offset: 16510},
		{Rule: "unit-failed", Severity: Fatal, Title: "Failed to start the last", Text: "Failed to start the last", Line: 7, Offset: 16542},
	}
	for i := range want {
		want[i].Source, want[i].Boot = Console, 1
	}
	got := scan(Config{}, text)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	for _, f := range got[:4] {
		if !strings.HasPrefix(text[f.Offset:], f.Text) {
			t.Errorf("%q is not at its offset, %q is", f.Text, text[f.Offset:][:20])
		}
	}
}

func TestBoots(t *testing.T) {
	const oops = "Failed to start x.service.\n"
	tests := []struct {
		name, source, text string
		want               []int
	}{
		{"BIOS", Console, "SeaBIOS (version 1.16.2)\nGRUB loading.\n[    0.0] Linux version 6.1.0\n" + oops +
			"SeaBIOS (version 1.16.2)\n" + oops + "Linux version 6.1.0\n" + oops, []int{1, 2, 2}},
		{"UEFI", Console, "UEFI firmware (version 2022)\r\nBdsDxe: loading Boot0001\r\nBdsDxe: loading Boot0002\r\nEFI stub: Booting Linux\r\nLinux version 6.1\r\n" +
			oops + "\x1b[2J\x1b[01;01HBdsDxe: loading Boot0001\r\n" + oops, []int{1, 2}},
		{"firmware over and over", Console, "SeaBIOS (version 1)\n" + oops + "SeaBIOS (version 1)\n" + oops, []int{1, 2}},
		{"kexec", Console, "Linux version 6.1\n" + oops + "Linux version 6.2\n" + oops, []int{1, 2}},
		{"journal", Journal, "2026-11-23T01:51:12.123456+0000 host kernel: Linux version 6.1\n2026-11-23T01:51:12.123456+0000 host systemd[1]: " + oops +
			"-- Boot 0123456789abcdef0123456789abcdef --\n2026-11-23T01:51:12.123456+0000 host kernel: Linux version 6.1\n2026-11-23T01:51:12.123456+0000 host systemd[1]: " + oops,
			[]int{1, 2}},
	}
	for _, tt := range tests {
		var got []int
		for _, f := range scan(Config{Source: tt.source}, tt.text) {
			got = append(got, f.Boot)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: boots (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestReports(t *testing.T) {
	const amd64 = `BUG: kernel NULL pointer dereference, address: 0000000000000010
#PF: supervisor write access in kernel mode
Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 0 PID: 411 Comm: insmod Tainted: G           O       6.1.0
[FAILED] Failed to start in.the.middle.
RIP: 0010:crash_init+0x14/0x1000 [crash]
Call Trace:
 <TASK>
---[ end trace 0000000000000000 ]---
RIP: 0010:crash_init+0x14/0x1000 [crash]
`
	const arm64 = `Unable to handle kernel paging request at virtual address ffff80000a5d3000
Internal error: Oops: 0000000096000046 [#1] SMP
pc : crash_init+0x14/0x1000 [crash]
lr : do_one_initcall+0x4c/0x2d0
---[ end trace 0000000000000000 ]---
`
	const panic = "Kernel panic - not syncing: Fatal exception\n---[ end Kernel panic - not syncing: Fatal exception ]---\n"
	warning := "WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n---[ end trace 0 ]---\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"amd64", amd64, []string{
			"null-dereference: BUG: unable to handle kernel NULL pointer dereference in crash_init",
			"(oops: kernel oops)", "unit-failed: Failed to start in.the.middle"}},
		{"arm64", arm64, []string{
			"bad-kernel-access: BUG: unable to handle kernel paging request in crash_init",
			"(internal-error: Internal error: Oops)"}},
		{"panic as a consequence", arm64 + panic, []string{
			"bad-kernel-access: BUG: unable to handle kernel paging request in crash_init",
			"(internal-error: Internal error: Oops)", "(kernel-panic: kernel panic: Fatal exception)"}},
		{"panic long after", warning + strings.Repeat("text\n", aftermathLines) + panic, []string{
			"kernel-warning: WARNING in f", "kernel-panic: kernel panic: Fatal exception"}},
		{"panic alone", panic, []string{"kernel-panic: kernel panic: Fatal exception"}},
		{"panic before the function is known", "Oops: 1\n" + panic + "RIP: 0010:f+0x1/0x2\n", []string{
			"oops: kernel oops", "(kernel-panic: kernel panic: Fatal exception)"}},
		{"one after the other", warning + warning, []string{"kernel-warning: WARNING in f", "kernel-warning: WARNING in f"}},
		{"within", "INFO: task a:1 blocked for more than 120 seconds.\nINFO: task b:2 blocked for more than 120 seconds.\n",
			[]string{"hung-task: INFO: task a hung", "(hung-task: INFO: task b hung)"}},
		{"a report without an end", "Oops: 1\n" + strings.Repeat("text\n", reportLines) + "RIP: 0010:f+0x1/0x2\n" + warning,
			[]string{"oops: kernel oops", "kernel-warning: WARNING in f"}},
		{"cut by a reboot", "Linux version 6\nOops: 1\nSeaBIOS (version 1)\nLinux version 6\nOops: 1\n", []string{"oops: kernel oops", "oops: kernel oops"}},
		{"cut by the end", "Oops: 1\nCPU", []string{"oops: kernel oops"}},
		{"a servant of who is to blame", "Oops: 1\nRIP: 0010:__memcpy+0x1/0x2\nCall Trace:\n ? f+0x1/0x2\n memcpy+0x1/0x2\n __g.isra.0+0x1/0x2 [m]\n h+0x1/0x2\n---[ end trace 0 ]---\n", []string{"oops: kernel oops in g"}},
		{"a servant without a frame", "Oops: 1\npc : __pi_strcmp+0x1/0x2\nlr : g+0x1/0x2 [m]\nCall trace:\n __pi_strcmp+0x1/0x2\n h+0x1/0x2\n---[ end trace 0 ]---\n", []string{"oops: kernel oops in g"}},
		{"a name like a servant's", "Oops: 1\nRIP: 0010:memcpy_all+0x1/0x2\n---[ end trace 0 ]---\n", []string{"oops: kernel oops in memcpy_all"}},
		{"crash in user space", "Oops: 1\nRIP: 0033:0x7f01\n---[ end trace 0 ]---\n", []string{"oops: kernel oops"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range scan(Config{}, tt.text) {
				s := f.Rule + ": " + f.Title
				if f.Secondary {
					s = "(" + s + ")"
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// What a person would see at once is reported at once.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // reports come from a timer, too
		var got []string
		s := NewScanner(Config{}, func(f Finding) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, f.Title)
		})
		expect := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
			got = nil
		}
		write := func(text string) { _, _ = s.Write([]byte(text)) }

		write("error: x\r\n\x1b[0mgrub rescue")
		expect("half a prompt")
		write("> ")
		expect("a prompt", "GRUB rescue shell")
		write("ls\n")
		expect("the prompt's line ended")

		write("Oops: 1\nFailed to start x.service.\n")
		expect("a crash whose function is still to come")
		time.Sleep(900 * time.Millisecond)
		write("CPU: 0\n")
		time.Sleep(900 * time.Millisecond)
		expect("text comes slowly")
		time.Sleep(200 * time.Millisecond)
		expect("text stopped", "kernel oops", "Failed to start x.service")

		write("Kernel panic - not syncing: half a li")
		expect("half a line")
		time.Sleep(1100 * time.Millisecond)
		expect("half a line and no more", "kernel panic: half a li")

		write("Linux version 6\nLinux version 6\n") // another boot
		write("Oops: 1\nKernel panic - not syncing: x\n")
		expect("a panic waits for nothing", "kernel oops", "kernel panic: x")
		s.Flush()
	})
}

func TestFlood(t *testing.T) {
	n := 0
	s := NewScanner(Config{FlushAfter: -1}, func(Finding) { n++ })
	for range 3 {
		_, _ = s.Write([]byte("Linux version 6\n" + strings.Repeat("rejecting I/O to offline device\n", 150)))
	}
	if n != 3*maxFindings || s.Dropped() != 3*50 {
		t.Errorf("%d findings and %d dropped, want 300 and 150", n, s.Dropped())
	}
}

// Chunks split anywhere give what one write gives.
func FuzzScanner(f *testing.F) {
	var all strings.Builder
	for i, s := range samples() {
		f.Add([]byte(s.line), uint64(i))
		all.WriteString(s.line + "\r\n")
	}
	f.Add([]byte(all.String()), uint64(1))
	f.Add([]byte("a\x1b[2J\x1b[1;1HShell> \x1b[HShell> \x1b]0;x\x07grub> Kernel panic - not syncing: \xff\r(initramfs) Oops: "), uint64(2))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		whole := scan(Config{}, string(text))
		var parts []Finding
		s := NewScanner(Config{FlushAfter: -1}, func(f Finding) { parts = append(parts, f) })
		random := rand.New(rand.NewPCG(seed, 0))
		for rest := bytes.Clone(text); len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 40))
			_, _ = s.Write(rest[:n])
			clear(rest[:n]) // the Scanner must not keep it
			rest = rest[n:]
		}
		s.Flush()
		if diff := cmp.Diff(whole, parts); diff != "" {
			t.Errorf("findings (-one write +chunks):\n%s", diff)
		}
		last := int64(-1)
		for _, f := range whole {
			if f.Offset < 0 || f.Offset >= int64(len(text)) || f.Line < 1 || f.Offset < last || len(f.Text) > 6*maxLine {
				t.Errorf("finding out of place: %+v", f)
			}
			last = f.Offset
		}
	})
}

// BenchmarkScanner reads a boot without findings.
func BenchmarkScanner(b *testing.B) {
	var text bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&text, "[%5d.123456] pci 0000:00:%02x.0: BAR 6: assigned [mem 0xfe%03x000-0xfe%03x7ff pref]\r\n", i, i%32, i%4096, i%4096)
		fmt.Fprintf(&text, "[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39munit-%d.service\x1b[0m - The unit number %d.\r\n", i, i)
	}
	s := NewScanner(Config{FlushAfter: -1}, func(f Finding) { b.Errorf("finding %+v", f) })
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		_, _ = s.Write(text.Bytes())
	}
}
