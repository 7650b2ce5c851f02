package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// guest is a machine whose kernel is started without firmware, and whose init
// runs what is typed on the console.
type guest struct {
	cmd   *exec.Cmd
	stdin io.Writer

	mu      sync.Mutex
	console []byte
}

// Write takes what the guest prints.
func (g *guest) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.console = append(g.console, p...)
	return len(p), nil
}

func (g *guest) text() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.console[:len(g.console):len(g.console)]
}

// bootGuest starts a guest with a disk for each fault that has one.
func (c *config) bootGuest(ctx context.Context, faults []fault) (*guest, error) {
	cpu := "max"
	program, args := "qemu-system-x86_64", []string{"-machine", "q35", "-append", "console=ttyS0"}
	if c.arch == "arm64" {
		program, args = "qemu-system-aarch64", []string{"-machine", "virt", "-append", "console=ttyAMA0"}
		cpu = "max,pauth-impdef=on,sve=off" // as seatrial's, for speed
	}
	args = append(args, "-cpu", cpu, "-accel", "tcg", "-smp", "2", "-m", "768", "-display", "none", "-no-user-config", "-nodefaults",
		"-serial", "stdio", "-kernel", filepath.Join(c.built, "vmlinuz"), "-initrd", filepath.Join(c.built, "initrd"))
	for _, f := range faults {
		if f.disk == "" {
			continue
		}
		disk := filepath.Join(c.work, f.name+"-"+c.arch+".raw")
		maker := exec.CommandContext(ctx, "sh", "-euc", f.disk)
		maker.Env = append(os.Environ(), "disk="+disk)
		if out, err := maker.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "record: %s: make the disk: %v: %s\n", f.name, err, out)
			continue
		}
		drive := fmt.Sprintf("if=none,id=%s,format=raw,file=%s", f.name, disk)
		if f.badSector != "" {
			drive = fmt.Sprintf("if=none,id=%s,driver=blkdebug,image.driver=raw,image.file.driver=file,image.file.filename=%s,"+
				"inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.sector=%s", f.name, disk, f.badSector)
		}
		args = append(args, "-drive", drive, "-device", "virtio-blk-pci,drive="+f.name+",serial="+f.name)
	}
	g := &guest{cmd: exec.CommandContext(ctx, program, args...)}
	g.cmd.Stdout, g.cmd.Stderr = g, os.Stderr
	stdin, err := g.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	g.stdin = stdin
	return g, g.cmd.Start()
}

func (g *guest) end() {
	if err := g.cmd.Process.Kill(); err != nil {
		fmt.Fprintln(os.Stderr, "record: end the guest:", err)
	}
	_ = g.cmd.Wait() // it was killed
}

// ready matches what init says when it waits for a script.
var (
	ready = regexp.MustCompile(`seatrial: ready\r?\n`)
	done  = regexp.MustCompile(`(?:^|\n)seatrial: done\r?\n`)
)

// await waits until the text after from matches, and then for a second of
// silence. It returns how long the text is.
func (g *guest) await(ctx context.Context, from int, until *regexp.Regexp, limit time.Duration) (int, error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(limit)
	last, silent, found := 0, 0, false
	for ; ctx.Err() == nil; <-ticker.C {
		text := g.text()
		silent++
		if len(text) != last {
			last, silent = len(text), 0
		}
		if !found && until.Match(text[from:]) {
			found = true
			deadline = time.Now().Add(3 * time.Second)
		}
		switch late := time.Now().After(deadline); {
		case found && (silent >= 10 || late):
			return last, nil
		case late:
			return last, errors.New("it did not come: " + until.String())
		}
	}
	return last, ctx.Err()
}

// inGuest makes faults in guests: those that a guest survives in each of the
// rounds, in an order of its own, and at the end of each boot one that it does
// not survive. A guest that is lost is replaced.
func (c *config) inGuest(ctx context.Context, live, deadly []fault) error {
	all := append(live[:len(live):len(live)], deadly...)
	s := session{config: c, faults: all}
	defer s.end()
	for round := 0; round < c.rounds || round < len(deadly); round++ {
		if round < c.rounds {
			for _, i := range c.order(len(live)) {
				s.try(ctx, live[i])
			}
		}
		if round < len(deadly) {
			s.try(ctx, deadly[round])
		} else {
			s.end()
		}
		c.boot++
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// session is a guest that is booted when there is none.
type session struct {
	*config
	faults []fault
	g      *guest
	from   int  // where the console is read from
	booted bool // and waits for a script
}

func (s *session) end() {
	if s.g != nil {
		s.g.end()
	}
	s.g, s.from, s.booted = nil, 0, false
}

// try makes a fault, and complains if that does not work.
func (s *session) try(ctx context.Context, f fault) {
	if _, err := os.Stat(s.file(f)); err == nil {
		return // it was recorded before
	}
	err := s.ready(ctx)
	if err == nil {
		s.from, err = s.config.try(ctx, s.g, s.from, f)
		s.booted = !f.dies
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "%s boot %d %s: %v\n", s.arch, s.boot, f.name, err)
		s.end()
	}
}

// ready sees to it that there is a guest that waits for a script.
func (s *session) ready(ctx context.Context) (err error) {
	if s.booted {
		return nil
	}
	if s.g != nil { // it reboots by itself
		if s.from, err = s.g.await(ctx, s.from, ready, 2*time.Minute); err == nil {
			s.booted = true
			return nil
		}
		s.end()
	}
	if s.g, err = s.bootGuest(ctx, s.faults); err != nil {
		return err
	}
	s.from, err = s.g.await(ctx, 0, ready, 5*time.Minute)
	s.booted = err == nil
	return err
}

// try makes a fault and saves its recording; from is where the console is read
// from.
func (c *config) try(ctx context.Context, g *guest, from int, f fault) (int, error) {
	began := time.Now()
	if _, err := fmt.Fprintln(g.stdin, base64.StdEncoding.EncodeToString([]byte(f.script))); err != nil {
		return 0, err
	}
	end, err := g.await(ctx, from, f.until, f.wait)
	switch {
	case ctx.Err() != nil:
		return 0, err
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s boot %d %s: %v\n", c.arch, c.boot, f.name, err)
	}
	console := bytes.TrimSpace(done.ReplaceAll(g.text()[from:end], []byte("\n")))
	fmt.Fprintf(os.Stderr, "%s boot %d %s: %d bytes in %v\n", c.arch, c.boot, f.name, len(console), time.Since(began).Round(time.Second))
	if err == nil {
		if err := c.save(f, append(console, '\n')); err != nil {
			return 0, err
		}
	}
	if !f.dies {
		if _, err := g.await(ctx, from, done, 20*time.Second); err != nil {
			return 0, fmt.Errorf("the guest is lost: %w", err)
		}
	}
	return end, nil
}
