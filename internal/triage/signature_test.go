package triage

import (
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"seatrial/harness/event"
)

func TestSign(t *testing.T) {
	tests := []struct {
		name string
		f    Failure
		kind Kind
		text string
	}{
		{"first oops wins", Failure{Class: event.Console, Title: "BUG: unable to handle kernel NULL pointer dereference in ext4_foo", Message: "docker did not start"},
			Oops, "BUG: unable to handle kernel NULL pointer dereference in ext4_foo"},
		{"oops in a boot failure", Failure{Class: event.Boot, Title: "kernel panic: VFS: Unable to mount root fs", Message: "no ssh"},
			Oops, "kernel panic: VFS: Unable to mount root fs"},
		{"class with message", Failure{Class: event.Boot, Message: "ssh not reachable after 5m0s\nlast state: emergency\nmore"},
			ByClass, "boot: ssh not reachable after UNIQ1 | last state: emergency"},
		{"class alone", Failure{Class: event.KernelHang}, ByClass, "kernel-hang"},
		{"assertion", Failure{Class: event.Assertion, Message: "\n  got 10.0.0.2, want 10.0.0.2\nmore"}, Assertion, "got UNIQ1, want UNIQ1"},
		{"other assertion", Failure{Class: event.Assertion, Message: "got 10.0.0.2, want 10.0.0.3"}, Assertion, "got UNIQ1, want UNIQ2"},
		{"from the output", Failure{Class: event.Assertion, Output: "starting\ndocker: Error response from daemon\nbye"}, Assertion, "docker: Error response from daemon"},
		{"last line of the output", Failure{Class: event.Assertion, Output: "starting\nbye\n\n"}, Assertion, "bye"},
		{"nothing", Failure{}, Assertion, "failed without a message"},
		{"escapes", Failure{Message: "\x1b[1;31mfailed\x1b[0m \x1b]0;title\x07unit\x00 \xff"}, Assertion, "failed unit? ?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Sign(tt.f)
			if s.Kind != tt.kind || s.Text != tt.text {
				t.Errorf("got %s %q, want %s %q", s.Kind, s.Text, tt.kind, tt.text)
			}
		})
	}
}

func TestRename(t *testing.T) {
	tests := []struct{ in, want string }{
		{"at 2026-11-23T02:22:01.123Z and 2026-11-23 02:22:01 +0000", "at TIME and TIME"},
		{"Nov 23 02:22:01 host sshd[812]: x", "TIME host sshdUNIQ1: x"},
		{"[   12.345678] x at Mon Nov 23 02:22:01 UTC 2026", "TIME x at TIME"},
		{"machine 6f1c8a52-6a0f-4b7e-9d3a-0123456789ab and 0123456789abcdef0123456789abcdef", "machine UNIQ1 and UNIQ2"},
		{"52:54:00:12:34:56 fe80::5054:ff:fe12:3456 10.0.2.15:2379 10.0.2.15:2379", "UNIQ1 UNIQ2 UNIQ3 UNIQ3"},
		{"dial localhost:4001: main.go:42: 0xffff8000 after 1m30.5s", "dial UNIQ1: mainUNIQ2: UNIQ3 after UNIQ4"},
		{"open /tmp/x81/y: pid 812, goroutine 17, web-7d4f8b9c1d-x2x4z", "open UNIQ1: UNIQ2, UNIQ3, webUNIQ4"},
		{"systemd-udevd x86_64 amd64 exit status 1 port 80 std::string", "systemd-udevd x86_64 amd64 exit status 1 port 80 std::string"},
	}
	for _, tt := range tests {
		if got := rename(tt.in); got != tt.want {
			t.Errorf("%q:\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

func TestKeys(t *testing.T) {
	key := func(class event.Class, message string) string {
		return Sign(Failure{Class: class, Message: message}).Key
	}
	oops := func(title string) string { return Sign(Failure{Class: event.Console, Title: title}).Key }
	same := map[string][2]string{
		"numbers":         {key(event.Assertion, "exit status 1 of 3"), key(event.Assertion, "exit status 2 of 3")},
		"base64":          {key(event.Assertion, "got c2VhdHJpYWw="), key(event.Assertion, "got b3RoZXJ0aGluZ3M=")},
		"no class at all": {key("", "x"), key(event.Assertion, "x")},
		"oops anywhere":   {oops("kernel BUG at fs/inode.c:LINE"), Sign(Failure{Class: event.Boot, Title: "kernel BUG at fs/inode.c:LINE"}).Key},
	}
	for name, k := range same {
		if k[0] != k[1] {
			t.Errorf("%s: keys differ: %v", name, k)
		}
	}
	different := map[string][2]string{
		"structure":     {key(event.Assertion, "got 10.0.0.1, want 10.0.0.1"), key(event.Assertion, "got 10.0.0.1, want 10.0.0.2")},
		"classes":       {key(event.Boot, "x"), key(event.Timeout, "x")},
		"names in oops": {oops("WARNING in ext3_foo"), oops("WARNING in ext4_foo")},
	}
	for name, k := range different {
		if k[0] == k[1] {
			t.Errorf("%s: keys are equal: %s", name, k[0])
		}
	}
	// A change of this key is a change of every key in every history: Version
	// has to grow with it.
	const want = "v1/assertion/6e66f206d47ff7ff663c85a1fb1a3a84"
	if got := key(event.Assertion, "unit docker.service failed with exit status 1"); got != want {
		t.Errorf("key %s, want %s", got, want)
	}
}

// A guest may print one line of a gigabyte; what is looked at does not grow
// with it.
func TestHostileTexts(t *testing.T) {
	huge := strings.Repeat("\x1b[31m]]>::error::</script>\x00\xff", 1<<20) // 29 MiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, f := range []Failure{{Message: huge}, {Output: huge}, {Title: huge, Class: event.Console}, {Class: event.Boot, Message: huge}} {
		s := Sign(f)
		if len(s.Text) > MaxText || !utf8.ValidString(s.Text) || strings.ContainsFunc(s.Text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("signature of %d bytes: %q...", len(s.Text), s.Text[:min(len(s.Text), 60)])
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(huge)) {
		t.Errorf("allocated %d bytes for texts of %d", n, len(huge))
	}
}

func FuzzSign(f *testing.F) {
	f.Add("title", "message", "output", "boot")
	f.Add("", "\x1b]0;\x1b[", "\xff\r\n\x00", "")
	f.Fuzz(func(t *testing.T, title, message, output, class string) {
		s := Sign(Failure{Title: title, Message: message, Output: output, Class: event.Class(class)})
		if len(s.Text) > MaxText || strings.Contains(s.Text, "\n") {
			t.Errorf("text %q", s.Text)
		}
	})
}
