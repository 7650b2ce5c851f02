package clusterhost

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner starts processes that die with this one. The kernel sends the death signal when the
// thread that forked ends, so they are all forked by one thread that lives as long as the host.
type spawner struct {
	requests chan func()
	records  *os.File // what was started, for Sweep
}

func newSpawner(records *os.File) *spawner {
	s := &spawner{requests: make(chan func()), records: records}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range s.requests {
			f()
		}
	}()
	return s
}

// start starts a process and records it.
func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	s.requests <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return err
	}
	begin, err := startTime(cmd.Process.Pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil // it has ended at once, which is for the caller to notice
	}
	if err == nil {
		_, err = fmt.Fprintln(s.records, cmd.Process.Pid, begin)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("record process: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	return nil
}

// close ends the thread, and with it what it started.
func (s *spawner) close() error {
	close(s.requests)
	return s.records.Close()
}

// startTime returns when a process started, in clock ticks since boot. PID and start time together
// name a process for good. One that has ended and was not waited for counts as gone.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The second field is in parentheses and may hold anything; after it come those that proc(5)
	// numbers from 3: state, which is the third, and starttime, the 22nd.
	const state, start = 0, 22 - 3
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) <= start {
		return 0, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return 0, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return strconv.ParseUint(fields[start], 10, 64)
}

// isRecorded reports whether the recorded process still runs.
func isRecorded(pid int, begin uint64) bool {
	now, err := startTime(pid)
	return err == nil && now == begin
}

// killRecorded kills the recorded process if it still runs, and says whether it did.
func killRecorded(pid int, begin uint64) (killed bool, err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	// From here on fd stands for one process: if it is the recorded one now, it is the one to kill.
	if !isRecorded(pid, begin) {
		return false, nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return false, fmt.Errorf("kill process %d: %w", pid, err)
	}
	return true, nil
}

// channels are the socket pairs of a machine, by name.
type channels struct {
	host  map[string]*os.File   // ends for the host
	child map[string][]*os.File // ends for processes, in the order in which they are taken
}

// mentions counts the names of connections in argument lists.
func mentions(processes []Process) map[string]int {
	counts := make(map[string]int)
	for _, p := range processes {
		for _, arg := range p.Argv {
			for _, m := range placeholder.FindAllStringSubmatch(arg, -1) {
				counts[m[1]]++
			}
		}
	}
	return counts
}

// openChannels makes the socket pairs that the processes of a machine mention. Those in toHost
// have one end for the host.
func openChannels(processes []Process, toHost []string) (*channels, error) {
	c := &channels{host: make(map[string]*os.File), child: make(map[string][]*os.File)}
	mentions := mentions(processes)
	for _, name := range toHost {
		if mentions[name] != 1 {
			return nil, errors.Join(fmt.Errorf("{fd:%s} is mentioned %d times, want once", name, mentions[name]), c.close())
		}
		delete(mentions, name)
		a, b, err := socketPair(name)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.host[name], c.child[name] = a, []*os.File{b}
	}
	for name, n := range mentions {
		if n != 2 {
			return nil, errors.Join(fmt.Errorf("{fd:%s} is mentioned %d times, want twice", name, n), c.close())
		}
		a, b, err := socketPair(name)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.child[name] = []*os.File{a, b}
	}
	return c, nil
}

func socketPair(name string) (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// command returns a process to be started, with its descriptors. The ends that it takes are to be
// closed by closeAll once it runs.
func (c *channels) command(p Process) (cmd *exec.Cmd, taken []*os.File) {
	argv := make([]string, len(p.Argv))
	for i, arg := range p.Argv {
		argv[i] = placeholder.ReplaceAllStringFunc(arg, func(m string) string {
			name := placeholder.FindStringSubmatch(m)[1]
			taken = append(taken, c.child[name][0])
			c.child[name] = c.child[name][1:]
			const firstExtraFD = 3
			return strconv.Itoa(firstExtraFD + len(taken) - 1)
		})
	}
	cmd = exec.Command(argv[0], argv[1:]...)
	cmd.ExtraFiles = taken
	return cmd, taken
}

// close closes what nobody has taken.
func (c *channels) close() error {
	var errs []error
	for _, f := range c.host {
		errs = append(errs, f.Close())
	}
	for _, fs := range c.child {
		errs = append(errs, closeAll(fs))
	}
	return errors.Join(errs...)
}

func closeAll(fs []*os.File) error {
	var errs []error
	for _, f := range fs {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// waitAll waits for helpers in the background and returns a function that ends them and waits.
func waitAll(cmds []*exec.Cmd) (end func()) {
	var wg sync.WaitGroup
	for _, cmd := range cmds {
		wg.Go(func() { _ = cmd.Wait() }) // how a helper ended shows in its output
	}
	return func() {
		for _, cmd := range cmds {
			_ = cmd.Process.Kill() // it may have ended by itself
		}
		wg.Wait()
	}
}
