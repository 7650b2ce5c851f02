package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/interp"

	"seatrial/platforms"
)

// program is a program of a guest. Its exit status, if it is not 0, is an
// [interp.ExitStatus].
type program func(ctx context.Context, p *process, args []string) error

// programs are those that every guest has, by name.
func programs() map[string]program {
	return map[string]program{
		"bash": sh, "cat": cat, "gzip": swallow, "head": head, "hostname": hostname, "journalctl": journalctl,
		"kill": kill, "lsblk": lsblk, "pkill": pkill, "sed": sed, "sh": sh, "sleep": sleep, "stat": stat,
		"sudo": sudo, "systemctl": systemctl, "systemd-cat": systemdCat, "tee": tee, "timeout": timeout,
		"uname": uname, "which": which,
	}
}

// sh is `sh -c SCRIPT [NAME ARG...]` or `sh -s`.
func sh(ctx context.Context, p *process, args []string) error {
	switch {
	case len(args) >= 2 && args[0] == "-c":
		return p.shell(ctx, args[1], args[min(3, len(args)):]...)
	case len(args) == 1 && args[0] == "-s" && p.stdin != nil:
		script, err := io.ReadAll(p.stdin)
		if err != nil {
			return p.fail(2, "sh: %v", err)
		}
		return p.shell(ctx, p.m.probed(string(script)))
	}
	return p.fail(2, "sh: want -c SCRIPT or -s")
}

// probeLine is a line of the script with which the harness asks for the
// capabilities of an image: a test of the guest, and the capability's name.
var probeLine = regexp.MustCompile(`(?m)^\(.*\) >/dev/null 2>&1 && echo has (\S+)$`)

// probed replaces the tests of such a script by what the platform's options
// say.
func (m *Machine) probed(script string) string {
	return probeLine.ReplaceAllStringFunc(script, func(line string) string {
		name := probeLine.FindStringSubmatch(line)[1]
		if m.cluster.platform.options.Image[platforms.Capability(name)] {
			return "echo has " + name
		}
		return ":"
	})
}

// sudo is `sudo [-n] COMMAND...`.
func sudo(ctx context.Context, p *process, args []string) error {
	if len(args) > 0 && args[0] == "-n" {
		args = args[1:]
	}
	if len(args) == 0 {
		return p.fail(1, "sudo: no command")
	}
	p.root = true
	return p.run(ctx, args)
}

// timeout is `timeout SECONDS COMMAND...`.
func timeout(ctx context.Context, p *process, args []string) error {
	if len(args) < 2 {
		return p.fail(125, "timeout: want SECONDS COMMAND")
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return p.fail(125, "timeout: %v", err)
	}
	limited, cancel := context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
	defer cancel()
	err = p.run(limited, args[1:])
	if limited.Err() != nil && ctx.Err() == nil {
		return interp.ExitStatus(124)
	}
	return err
}

// sleep is `sleep SECONDS` or `sleep infinity`.
func sleep(ctx context.Context, p *process, args []string) error {
	var elapsed <-chan time.Time // never, for infinity
	if len(args) != 1 || args[0] != "infinity" {
		seconds, err := strconv.ParseFloat(strings.Join(args, " "), 64)
		if err != nil {
			return p.fail(1, "sleep: %v", err)
		}
		timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
		defer timer.Stop()
		elapsed = timer.C
	}
	select {
	case <-elapsed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signals are those that kill knows.
func signals() map[string]int { return map[string]int{"HUP": 1, "INT": 2, "KILL": 9, "TERM": 15} }

// kill is `kill [-SIGNAL] $$`: there is no other process to kill.
func kill(_ context.Context, p *process, args []string) error {
	name := "TERM"
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, args = strings.TrimPrefix(args[0][1:], "SIG"), args[1:]
	}
	number, known := signals()[name]
	if !known || !slices.Equal(args, []string{strconv.Itoa(os.Getpid())}) { // the shell's $$
		return p.fail(1, "kill: want -HUP, -INT, -KILL or -TERM, and $$")
	}
	return signalError{name: name, number: number}
}

// pkill breaks the guest's connections when it is told to kill the SSH server.
func pkill(_ context.Context, p *process, args []string) error {
	if !p.root || len(args) == 0 || !strings.Contains(args[len(args)-1], "sshd") {
		return interp.ExitStatus(1)
	}
	p.m.Disconnect()
	return nil
}

// cat is `cat [FILE...]`.
func cat(_ context.Context, p *process, args []string) error {
	if len(args) == 0 && p.stdin != nil {
		return p.copy(p.stdin)
	}
	for _, name := range args {
		f, err := p.m.files.open(p.path(name), os.O_RDONLY, 0, p.root)
		if err != nil {
			return p.fail(1, "cat: %v", err)
		}
		if err := p.copy(f); err != nil {
			return err
		}
	}
	return nil
}

// copy copies r to standard output.
func (p *process) copy(r io.Reader) error {
	if _, err := io.Copy(p.stdout, r); err != nil {
		return p.fail(1, "%v", err)
	}
	return nil
}

// head is `head -c BYTES [FILE]`.
func head(_ context.Context, p *process, args []string) error {
	if len(args) < 2 || args[0] != "-c" {
		return p.fail(1, "head: want -c BYTES")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return p.fail(1, "head: %v", err)
	}
	from := p.stdin
	if len(args) > 2 {
		if from, err = p.m.files.open(p.path(args[2]), os.O_RDONLY, 0, p.root); err != nil {
			return p.fail(1, "head: %v", err)
		}
	}
	if from == nil {
		return nil
	}
	return p.copy(io.LimitReader(from, n))
}

// tee is `tee [-a] FILE...`.
func tee(_ context.Context, p *process, args []string) error {
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if len(args) > 0 && args[0] == "-a" {
		flag, args = os.O_WRONLY|os.O_CREATE|os.O_APPEND, args[1:]
	}
	to := []io.Writer{p.stdout}
	for _, name := range args {
		f, err := p.m.files.open(p.path(name), flag, 0o644, p.root)
		if err != nil {
			return p.fail(1, "tee: %v", err)
		}
		to = append(to, f)
	}
	if p.stdin == nil {
		return nil
	}
	if _, err := io.Copy(io.MultiWriter(to...), p.stdin); err != nil {
		return p.fail(1, "tee: %v", err)
	}
	return nil
}

// swallow reads its input and prints nothing.
func swallow(_ context.Context, p *process, _ []string) error {
	if p.stdin == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, p.stdin); err != nil {
		return p.fail(1, "%v", err)
	}
	return nil
}

// sed is `sed s/^/TEXT/ FILE`.
func sed(_ context.Context, p *process, args []string) error {
	if len(args) != 2 || !strings.HasPrefix(args[0], "s/^/") || !strings.HasSuffix(args[0], "/") {
		return p.fail(1, "sed: want s/^/TEXT/ FILE")
	}
	text := strings.TrimSuffix(strings.TrimPrefix(args[0], "s/^/"), "/")
	f, err := p.m.files.open(p.path(args[1]), os.O_RDONLY, 0, p.root)
	if err != nil {
		return p.fail(2, "sed: %v", err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return p.fail(2, "sed: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		if _, err := io.WriteString(p.stdout, text+line); err != nil {
			return p.fail(4, "sed: %v", err)
		}
	}
	return nil
}

// stat is `stat -c %a FILE`.
func stat(_ context.Context, p *process, args []string) error {
	if len(args) != 3 || args[0] != "-c" || args[1] != "%a" {
		return p.fail(1, "stat: want -c %%a FILE")
	}
	found, err := p.m.files.stat(p.path(args[2]))
	if err != nil {
		return p.fail(1, "stat: %v", err)
	}
	return p.print("%o\n", found.Mode().Perm())
}

// which prints where a program is.
func which(_ context.Context, p *process, args []string) error {
	for _, name := range args {
		switch {
		case interp.IsBuiltin(name):
			return p.print("%s\n", name)
		case p.m.cluster.platform.programs[name] == nil:
			return interp.ExitStatus(1)
		}
		if err := p.print("/usr/bin/%s\n", name); err != nil {
			return err
		}
	}
	return nil
}

func hostname(_ context.Context, p *process, _ []string) error { return p.print("%s\n", p.m.ID()) }

// uname is `uname -r` or `uname -m`.
func uname(_ context.Context, p *process, args []string) error {
	switch {
	case !slices.Equal(args, []string{"-m"}):
		return p.print("6.1.0-fake\n")
	case p.m.cluster.platform.caps.Arch == "arm64":
		return p.print("aarch64\n")
	}
	return p.print("x86_64\n")
}

func (p *process) print(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.stdout, format, args...); err != nil && !errors.Is(err, os.ErrClosed) {
		return p.fail(1, "%v", err)
	}
	return nil
}
