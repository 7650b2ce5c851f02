package harness

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"seatrial/harness/event"
	"seatrial/platforms"
)

// TestClassify walks the table of section 4 of the design, and the places
// where two of its rows meet.
func TestClassify(t *testing.T) {
	guest := &platforms.GuestError{Machine: "m0", Op: "boot", Err: errors.New("no ssh")}
	stayUp := &platforms.GuestError{Machine: "m0", Op: "stay up", Err: errors.New("powered off")}
	lost := fmt.Errorf("exec: %w", platforms.ErrConnectionLost)
	killed := &goneError{errors.New("qemu was killed by signal 9")}
	panicked := &event.Finding{Machine: "m0", Source: "console", Line: 7, Title: "kernel panic: Fatal exception"}
	stale := &event.Finding{Machine: "m0", Source: "console", Line: 9}
	failed := verdict{failed: true, msgs: []string{"want 1, got 2"}}
	tests := []struct {
		name    string
		in      observed
		outcome event.Outcome
		class   event.Class
		message string
	}{
		{"nothing wrong", observed{}, event.Pass, "", ""},
		{"assertion", observed{verdict: failed}, event.Fail, event.Assertion, "want 1, got 2"},
		{"fatal finding", observed{fatal: panicked}, event.Fail, event.Console, "kernel panic: Fatal exception (m0 console line 7)"},
		{"assertion beside a fatal finding", observed{fatal: panicked, verdict: failed}, event.Fail, event.Console, "line 7)\nwant 1, got 2"},
		{"panic of the guest turns an error into a failure", observed{fatal: panicked, verdict: verdict{err: lost}, answers: false}, event.Fail, event.Console, "kernel panic"},
		{"panic of the guest during boot", observed{fatal: panicked, boot: errors.New("cancelled"), cause: &deadError{*panicked}}, event.Fail, event.Console, "kernel panic"},
		{"no boot", observed{boot: guest}, event.Fail, event.Boot, "no ssh"},
		{"boot budget", observed{boot: fmt.Errorf("settle: %w", errBootBudget)}, event.Fail, event.Boot, "boot took too long"},
		{"QEMU refuses", observed{boot: errors.New("no space left")}, event.Error, event.Provision, "no space left"},
		{"QEMU killed while booting", observed{boot: errors.New("gone"), cause: killed}, event.Error, event.Infra, "signal 9"},
		{"QEMU killed in the test", observed{verdict: verdict{err: lost}, cause: killed}, event.Error, event.Infra, "signal 9"},
		{"guest powered itself off", observed{verdict: verdict{err: lost}, cause: &goneError{stayUp}}, event.Fail, event.LostConnection, "powered off"},
		{"lost, guest silent", observed{verdict: verdict{err: lost}}, event.Fail, event.KernelHang, "stopped answering"},
		{"lost, guest answers", observed{verdict: verdict{err: lost}, answers: true}, event.Error, event.LostConnection, "connection lost"},
		{"time out, guest answers", observed{timedOut: true, answers: true, verdict: failed}, event.Fail, event.Timeout, "still answers\nwant 1, got 2"},
		{"time out, guest silent", observed{timedOut: true}, event.Fail, event.KernelHang, "does not answer"},
		{"lost, guest silent by its emulator", observed{stale: stale, verdict: verdict{err: lost}}, event.Error, event.Infra, "(m0 console line 9)"},
		{"time out, guest silent by its emulator", observed{stale: stale, timedOut: true}, event.Error, event.Infra, "(m0 console line 9)"},
		{"boot budget, by the emulator", observed{stale: stale, boot: errBootBudget}, event.Error, event.Infra, "(m0 console line 9)"},
		{"assertion after the emulator's fault", observed{stale: stale, verdict: failed}, event.Fail, event.Assertion, "want 1"},
		{"no boot after the emulator's fault", observed{stale: stale, boot: guest}, event.Fail, event.Boot, "no ssh"},
		{"panic of the test", observed{verdict: verdict{err: &panicError{value: "boom"}}}, event.Error, event.Harness, "panic: boom"},
		{"test ignored its context", observed{timedOut: true, answers: true, verdict: verdict{err: fmt.Errorf("x: %w", errIgnored)}}, event.Error, event.Harness, "ignored"},
		{"interrupted", observed{cause: ErrInterrupted, verdict: failed}, event.Error, event.Harness, "interrupted"},
		{"interrupted on a panicking guest", observed{cause: ErrInterrupted, fatal: panicked}, event.Fail, event.Console, "kernel panic"},
		{"reboot fails", observed{verdict: verdict{err: guest}}, event.Fail, event.Boot, "no ssh"},
		{"host out of space in the test", observed{verdict: verdict{err: errors.New("write: no space left")}}, event.Error, event.Infra, "no space"},
		{"assertion first, then trouble", observed{verdict: verdict{failed: true, err: errors.New("x"), msgs: []string{"wrong"}}}, event.Fail, event.Assertion, "wrong\nx"},
		{"skip", observed{verdict: verdict{skipped: true, msgs: []string{"image lacks docker"}}}, event.Skip, "", "image lacks docker"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := classify(tt.in)
			if got.Outcome != tt.outcome || got.Class != tt.class || !strings.Contains(got.Message, tt.message) {
				t.Errorf("got %s/%s %q, want %s/%s %q", got.Outcome, got.Class, got.Message, tt.outcome, tt.class, tt.message)
			}
		})
	}
}
