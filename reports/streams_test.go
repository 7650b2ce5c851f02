package reports_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatrial/harness/event"
)

// runsDir holds recorded event streams, "<name>.jsonl".
const runsDir = "../testdata/runs"

// checkStream keeps a recorded stream in step with its function below.
func checkStream(t *testing.T, name string, s *stream) {
	t.Helper()
	var buf bytes.Buffer
	for _, e := range s.events {
		if err := event.Encode(&buf, e); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, filepath.Join(runsDir, name+".jsonl"), buf.Bytes())
}

// TestStreams keeps the recorded streams that are made here in step with their
// functions.
func TestStreams(t *testing.T) {
	for name, s := range streams() {
		checkStream(t, name, s)
	}
}

// recordings are the names of all recorded streams: those that are made here,
// and "recorded-*" of real runs.
func recordings(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(runsDir, "*.jsonl"))
	if err != nil || len(files) <= len(streams()) {
		t.Fatalf("%d recorded runs: %v", len(files), err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".jsonl")
	}
	return files
}

// streams are runs of every kind that reports have to deal with.
func streams() map[string]*stream {
	return map[string]*stream{
		"empty":       emptyRun(),
		"green":       greenRun(),
		"mixed":       mixedRun(),
		"interrupted": interruptedRun(),
		"resumed":     resumedRun(),
		"merged":      mergedRun(),
		"hostile":     hostileRun(),
	}
}

// stream makes events; each happens a second after the one before it.
type stream struct {
	events []event.Event
	clock  time.Time
}

func newStream() *stream {
	return &stream{clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func (s *stream) add(b event.Body) {
	s.events = append(s.events, event.Event{Seq: int64(len(s.events) + 1), Time: s.clock, Body: b})
	s.clock = s.clock.Add(time.Second)
}

func (s *stream) start(mutate func(*event.RunStarted)) {
	start := &event.RunStarted{
		ID: "5ea7f00d", Version: "0.1.0", Command: []string{"seatrial", "run", "--arch", "amd64,arm64"}, Seed: 42,
		Host: event.Host{Name: "bench", OS: "linux", Arch: "amd64", CPUs: 2, MemoryMiB: 7942},
		Images: []event.Image{
			{Name: "reference-amd64", Arch: "amd64", Path: "cache/reference-amd64.qcow2", SHA256: strings.Repeat("a1", 32), OSRelease: map[string]string{"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "VERSION_ID": "12"}},
			{Name: "reference-arm64", Arch: "arm64", Path: "cache/reference-arm64.qcow2", SHA256: strings.Repeat("b2", 32)},
		},
		Plan: "sha256:" + strings.Repeat("0d", 32),
	}
	if mutate != nil {
		mutate(start)
	}
	s.add(start)
}

func (s *stream) finish(end event.End) {
	s.add(&event.RunFinished{End: end, Seconds: float64(len(s.events))})
}

func (s *stream) plan(subtests []string, cells ...event.Cell) {
	for _, c := range cells {
		s.add(&event.TestPlanned{Cell: c, Doc: "What " + c.Test + " is about.", Tags: []string{"smoke"}, Subtests: subtests})
	}
}

func cellOf(test, arch, accel string) event.Cell {
	suite, _, _ := strings.Cut(test, ".")
	return event.Cell{Test: test, Suite: suite, Platform: "qemu", Arch: arch, Accel: accel, Image: "reference-" + arch}
}

// begin opens an attempt with one machine that comes up.
func (s *stream) begin(c event.Cell, n int, start string) {
	s.add(&event.AttemptStarted{Cell: c, N: n, Start: start})
	s.add(&event.MachineBooting{Cell: c, N: n, Machine: "m1", State: "kernel"})
	s.add(&event.MachineReady{
		Cell: c, N: n, Machine: "m1", Seconds: 2.5, Addresses: []string{"10.0.0.11", "fd00::11"}, Slowness: 8.25,
		OSRelease: map[string]string{"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "VERSION_ID": "12"},
	})
}

func (s *stream) subtest(c event.Cell, n int, name string, o event.Outcome, message string) {
	b := &event.SubtestFinished{Cell: c, N: n, Name: name, Outcome: o, Message: message, Seconds: 0.25}
	if o == event.Fail {
		b.Class = event.Assertion
	}
	s.add(b)
}

// end closes an attempt.
func (s *stream) end(c event.Cell, n int, o event.Outcome, class event.Class, message string) {
	s.add(&event.MachineGone{Cell: c, N: n, Machine: "m1", Reason: "destroyed"})
	s.add(&event.AttemptFinished{
		Cell: c, N: n, Outcome: o, Class: class, Message: message, Start: "fork",
		ProvisionSeconds: 2.5, Seconds: 12.345, Machines: []string{"m1"}, Signature: string(class),
	})
}

// done closes a cell.
func (s *stream) done(c event.Cell, attempts int, o event.Outcome, class event.Class, message string) {
	b := &event.TestFinished{Cell: c, Outcome: o, Class: class, Message: message, Attempts: attempts}
	if o != event.Skip {
		b.Reproduce = fmt.Sprintf("seatrial run '%s' --platform %s --arch %s --seed 42", c.Test, c.Platform, c.Arch)
	}
	s.add(b)
}

// pass is a whole cell that passes at once.
func (s *stream) pass(c event.Cell, subtests ...string) {
	s.begin(c, 1, "fork")
	for _, name := range subtests {
		s.subtest(c, 1, name, event.Pass, "")
	}
	s.end(c, 1, event.Pass, "", "")
	s.done(c, 1, event.Pass, "", "")
}

func emptyRun() *stream {
	s := newStream()
	s.start(nil)
	s.finish(event.Complete)
	return s
}

func greenRun() *stream {
	s := newStream()
	s.start(func(r *event.RunStarted) { r.Images = r.Images[:1] })
	basic, users := cellOf("cl.basic", "amd64", "kvm"), cellOf("cl.users.shells", "amd64", "kvm")
	s.plan([]string{"ssh", "units"}, basic)
	s.plan(nil, users)
	s.pass(basic, "ssh", "units")
	s.pass(users)
	s.finish(event.Complete)
	return s
}

// mixedRun has every verdict that a complete run can have.
func mixedRun() *stream {
	s := newStream()
	s.start(nil)
	amd, arm := cellOf("cl.basic", "amd64", "kvm"), cellOf("cl.basic", "arm64", "tcg")
	network := cellOf("cl.network.listeners", "arm64", "tcg")
	docker, dockerTCG := cellOf("docker.base", "arm64", "tcg"), cellOf("docker.base", "amd64", "tcg")
	etcd, vxlan := cellOf("etcd.base", "arm64", "tcg"), cellOf("flannel.vxlan", "arm64", "tcg")
	tpm, secure, gpu := cellOf("storage.tpm", "arm64", "tcg"), cellOf("storage.luks", "arm64", "tcg"), cellOf("nvidia.smi", "arm64", "tcg")
	s.plan([]string{"ssh", "units", "dbus"}, amd, arm)
	s.plan(nil, network)
	s.plan([]string{"info", "run", "network"}, docker)
	s.plan(nil, dockerTCG, etcd, vxlan, tpm, secure, gpu)
	for _, c := range []event.Cell{tpm, secure} {
		s.done(c, 0, event.Skip, "", "the platform lacks tpm2")
	}
	s.done(gpu, 0, event.Skip, "", "the platform lacks gpu")
	s.pass(amd, "ssh", "units", "dbus")
	s.pass(dockerTCG)
	flakyBasic(s, arm)
	failingDocker(s, docker)

	// A dead kernel, seen on the console.
	s.begin(network, 1, "cold")
	s.add(&event.Finding{Cell: network, N: 1, Machine: "m1", Source: "journal", Boot: 1, Line: 17, Rule: "unit-failed", Title: "unit failed", Text: "Failed to start foo.service"})
	s.add(&event.Finding{Cell: network, N: 1, Machine: "m1", Source: "console", Boot: 1, Line: 402, Offset: 31337, Rule: "panic", Title: "kernel panic", Text: "[   12.345678] Kernel panic - not syncing: Attempted to kill init!", Fatal: true})
	s.end(network, 1, event.Fail, event.Console, "kernel panic on m1")
	s.done(network, 1, event.Fail, event.Console, "kernel panic on m1")

	// An error that stays, and one that a retry resolved.
	s.begin(etcd, 1, "fork")
	s.end(etcd, 1, event.Error, event.Infra, "no space left on the host")
	s.done(etcd, 1, event.Error, event.Infra, "no space left on the host")
	s.add(&event.AttemptStarted{Cell: vxlan, N: 1, Start: "cold"})
	s.end(vxlan, 1, event.Error, event.Provision, "boot m1: quota exceeded")
	s.begin(vxlan, 2, "cold")
	s.end(vxlan, 2, event.Pass, "", "")
	s.done(vxlan, 2, event.Pass, "", "")
	s.add(&event.CleanupFailed{Platform: "qemu", Resource: "overlay disk", Message: "device is busy"})
	s.finish(event.Complete)
	return s
}

func flakyBasic(s *stream, c event.Cell) {
	s.begin(c, 1, "fork")
	s.subtest(c, 1, "ssh", event.Pass, "")
	s.subtest(c, 1, "units", event.Fail, "1 unit has failed: systemd-networkd-wait-online.service")
	s.end(c, 1, event.Fail, event.Assertion, "1 of 3 subtests failed: units")
	s.begin(c, 2, "cold")
	for _, name := range []string{"ssh", "units", "dbus"} {
		s.subtest(c, 2, name, event.Pass, "")
	}
	s.end(c, 2, event.Pass, "", "")
	s.done(c, 2, event.Pass, "", "")
}

func failingDocker(s *stream, c event.Cell) {
	const message = "1 of 3 subtests failed: info"
	for n := 1; n <= 2; n++ {
		s.begin(c, n, "fork")
		s.add(&event.Output{Cell: c, N: n, Text: "pulling the image\nstarting the daemon"})
		s.add(&event.Output{Cell: c, N: n, Subtest: "info", Text: "$ docker info\nStorage Driver: vfs"})
		s.subtest(c, n, "info", event.Fail, "storage driver is vfs, want overlay2")
		s.subtest(c, n, "run", event.Skip, "needs info")
		s.end(c, n, event.Fail, event.Assertion, message)
	}
	s.done(c, 2, event.Fail, event.Assertion, message)
}

func interruptedRun() *stream {
	s := newStream()
	s.start(nil)
	basic, etcd, docker := cellOf("cl.basic", "amd64", "kvm"), cellOf("etcd.base", "amd64", "kvm"), cellOf("docker.base", "amd64", "kvm")
	s.plan(nil, basic, etcd, docker)
	s.pass(basic)
	s.begin(docker, 1, "fork")
	s.finish(event.Interrupted)
	return s
}

// resumedRun was cut off in the middle of a test and went on later.
func resumedRun() *stream {
	s := newStream()
	s.start(nil)
	basic, docker := cellOf("cl.basic", "amd64", "kvm"), cellOf("docker.base", "amd64", "kvm")
	s.plan(nil, basic, docker)
	s.pass(basic)
	s.begin(docker, 1, "fork")
	s.clock = s.clock.Add(10 * time.Minute)
	s.start(func(r *event.RunStarted) { r.Resumed = true })
	s.add(&event.AttemptFinished{Cell: docker, N: 1, Outcome: event.Error, Class: event.Harness, Message: "cut off: the runner died", Start: "fork", Seconds: 2})
	s.begin(docker, 2, "fork")
	s.end(docker, 2, event.Pass, "", "")
	s.done(docker, 2, event.Pass, "", "")
	s.finish(event.Complete)
	return s
}

// mergedRun has the first and the second of three shards.
func mergedRun() *stream {
	s := newStream()
	basic, docker := cellOf("cl.basic", "amd64", "kvm"), cellOf("docker.base", "amd64", "kvm")
	s.start(func(r *event.RunStarted) { r.ID = "merged" })
	s.plan(nil, basic, docker)
	s.start(func(r *event.RunStarted) { r.ID, r.Shard = "shard1", &event.Shard{I: 1, N: 3} })
	s.pass(basic)
	s.finish(event.Complete)
	s.start(func(r *event.RunStarted) { r.ID, r.Shard = "shard2", &event.Shard{I: 2, N: 3} })
	s.begin(docker, 1, "fork")
	s.add(&event.RunFinished{End: event.Fault, Message: "cut off: the runner died"})
	s.add(&event.RunFinished{End: event.Fault, Message: "shard 2 of 3 did not complete", Seconds: 20})
	return s
}

// hostileText does its worst in every format.
const hostileText = "\x1b[31mred\x1b[0m \x00 \xff\xfe ]]> <![CDATA[ </script><script>alert(1)</script> <b>&amp; | ` ``` * [x](http://x.invalid) @user #1 ${x} \u202e rtl \u2028 \ufffe 漢字 %s\n" +
	"::error::not an error\n  ::stop-commands::x\n##[error]no ##vso[task.complete]no ##teamcity[x]\nok 1 - fake # SKIP\n  ...\n---\n'\"\\\r\nprogress 1%\rprogress 2%\n"

func hostileRun() *stream {
	s := newStream()
	s.start(func(r *event.RunStarted) {
		r.ID, r.Version, r.Host.Name = "../"+hostileText, hostileText, hostileText
		r.Images[0].Name = hostileText
		r.Images[0].OSRelease = map[string]string{"PRETTY_NAME": hostileText, "VERSION_ID": hostileText}
	})
	c := event.Cell{Test: "../evil/" + hostileText, Suite: hostileText, Platform: "p.q/" + hostileText, Arch: "amd64", Accel: "kvm", Image: hostileText}
	twin := c
	twin.Test = c.Test + "/" + hostileText // collides with a subtest's name
	skipped := c
	skipped.Test = "skipped # SKIP"
	s.plan([]string{hostileText}, c)
	s.plan(nil, twin, skipped)
	s.add(&event.AttemptStarted{Cell: c, N: 1, Start: "cold"})
	s.add(&event.MachineBooting{Cell: c, N: 1, Machine: "../../" + hostileText, State: hostileText})
	s.add(&event.MachineReady{Cell: c, N: 1, Machine: "../../" + hostileText, Seconds: 1, Addresses: []string{hostileText}})
	s.add(&event.Output{Cell: c, N: 1, Text: strings.Repeat("x", 200<<10) + "\n" + hostileText})
	s.add(&event.Output{Cell: c, N: 1, Subtest: hostileText, Text: strings.Repeat(hostileText, 3)})
	s.add(&event.Finding{Cell: c, N: 1, Machine: "../../" + hostileText, Source: "console", Boot: 1, Line: 1, Rule: hostileText, Title: hostileText, Text: hostileText, Fatal: true})
	s.add(&event.SubtestFinished{Cell: c, N: 1, Name: hostileText, Outcome: event.Fail, Class: event.Assertion, Message: hostileText})
	s.add(&event.MachineGone{Cell: c, N: 1, Machine: "../../" + hostileText, Reason: hostileText})
	s.add(&event.AttemptFinished{Cell: c, N: 1, Outcome: event.Fail, Class: event.Assertion, Message: hostileText, Start: "cold", Seconds: 1e9, Machines: []string{hostileText}, Signature: hostileText})
	s.add(&event.TestFinished{Cell: c, Outcome: event.Fail, Class: event.Assertion, Message: hostileText, Attempts: 1, Reproduce: "seatrial run " + hostileText})
	s.done(twin, 0, event.Error, event.Harness, strings.Repeat(hostileText, 500))
	s.done(skipped, 0, event.Skip, "", hostileText)
	s.add(&event.CleanupFailed{Platform: hostileText, Resource: hostileText, Message: hostileText})
	s.add(&event.RunFinished{End: "odd", Message: hostileText, Seconds: 1})
	return s
}

// readStream returns the events of a recorded run.
func readStream(t *testing.T, name string) []event.Event {
	t.Helper()
	file, err := os.Open(filepath.Join(runsDir, name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var events []event.Event
	d := event.NewDecoder(file)
	for {
		e, err := d.Decode()
		if err != nil {
			return events
		}
		events = append(events, e)
	}
}
