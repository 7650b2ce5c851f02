package fake

import (
	"errors"
	"fmt"
	"slices"

	"seatrial/platforms"
)

// Print prints text on the machine's console.
func (m *Machine) Print(text string) { m.console.print(text) }

// Log writes a line to the guest's journal.
func (m *Machine) Log(program, text string) { m.journal.add(m.ID(), program, text) }

// FailUnit makes a unit of the present boot count as failed.
func (m *Machine) FailUnit(unit string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.failed, unit) {
		m.failed = append(m.failed, unit)
	}
}

func (m *Machine) failedUnits() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.failed)
}

// Panic makes the kernel panic: it says so on the console, and stands still.
func (m *Machine) Panic(why string) {
	m.Hang()
	m.Print(fmt.Sprintf("[   42.000000] Kernel panic - not syncing: %s\n"+
		"[   42.000001] ---[ end Kernel panic - not syncing: %s ]---\n", why, why))
}

// Hang makes the guest stand still: what is asked of it blocks until the
// caller gives up, or the machine ends.
func (m *Machine) Hang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung = true
}

// Halt makes the guest switch itself off.
func (m *Machine) Halt() {
	m.end(&platforms.GuestError{Machine: m.ID(), Op: "stay up", Err: errors.New("it shut itself down")})
}

// Kill ends the machine as a killed hypervisor does.
func (m *Machine) Kill() {
	m.end(fmt.Errorf("%s: the machine was killed from outside", m.ID()))
}

// Disconnect breaks the connections to the guest: the fate of what was running
// is unknown. New ones can be made.
func (m *Machine) Disconnect() {
	m.mu.Lock()
	lose := m.lose
	if !m.isEnding {
		m.newSession()
	}
	m.mu.Unlock()
	lose(fmt.Errorf("%s: %w", m.ID(), platforms.ErrConnectionLost))
}

// StopSSH breaks the connections to the guest, and no new ones can be made.
func (m *Machine) StopSSH() {
	m.mu.Lock()
	m.sshDown = true
	m.mu.Unlock()
	m.Disconnect()
}
