package clusterhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Config says how cluster hosts are started.
type Config struct {
	// Exe is the program to execute. It calls Main when its first argument is Subcommand.
	Exe string
	// Base is the directory that holds the directories of all hosts. It is made if missing, must
	// be private to the user, and its path short, since sockets live below it.
	Base string
}

// logLimit is how many bytes of a host's log an error quotes.
const logLimit = 2 << 10

// Start starts a cluster host and returns once its networks exist. The host lives as long as the
// client, or as its Spec.Keep says.
func Start(ctx context.Context, cfg Config, spec Spec) (*Client, error) {
	c, err := start(ctx, cfg, spec)
	if err != nil {
		return nil, fmt.Errorf("start cluster host: %w", err)
	}
	return c, nil
}

func start(ctx context.Context, cfg Config, spec Spec) (*Client, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	dir, lock, err := makeDir(cfg.Base)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // from the start on, the child holds it
	spec.Dir, spec.Created = dir, time.Now()
	if err := writeSpec(spec); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	child, err := spawnHost(cfg, spec, lock)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	info, err := child.handshake(ctx, spec)
	if err != nil {
		return nil, errors.Join(err, child.abandon(), removeDir(spec))
	}
	return newClient(info, child), nil
}

// child is the process of a cluster host, as its starter sees it.
type child struct {
	cmd      *exec.Cmd
	lifeline io.WriteCloser
	answers  io.ReadCloser
	exited   chan struct{}
}

func spawnHost(cfg Config, spec Spec, lock *os.File) (*child, error) {
	log, err := os.OpenFile(filepath.Join(spec.Dir, logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// The answer's pipe is our own and not StdoutPipe's, which Wait would close under its reader.
	answers, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(cfg.Exe, Subcommand)
	cmd.Stdout, cmd.Stderr = theirs, log
	cmd.ExtraFiles = []*os.File{lock} // becomes lockFD
	// A session of its own: what the terminal sends to the runner is the runner's to handle.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	lifeline, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, answers.Close())
	}
	c := &child{cmd: cmd, lifeline: lifeline, answers: answers, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its state says how it ended
		close(c.exited)
	}()
	return c, nil
}

// handshake hands the spec over and awaits the answer.
func (c *child) handshake(ctx context.Context, spec Spec) (Info, error) {
	defer c.answers.Close()
	defer context.AfterFunc(ctx, func() { c.answers.Close() })()
	sent := json.NewEncoder(c.lifeline).Encode(spec) // a failure shows in the answer, or there is none
	var a answer
	if err := json.NewDecoder(c.answers).Decode(&a); err != nil {
		if ctx.Err() != nil {
			return Info{}, context.Cause(ctx)
		}
		return Info{}, fmt.Errorf("await answer: %w: %s", errors.Join(err, sent), tail(filepath.Join(spec.Dir, logFile), logLimit))
	}
	if a.Error != "" {
		return Info{}, errors.New(a.Error)
	}
	return a.Info, nil
}

// abandon ends the host, gently if it listens to its lifeline, and waits for it.
func (c *child) abandon() error {
	err := c.lifeline.Close()
	select {
	case <-c.exited:
	case <-time.After(teardownTime):
		_ = c.cmd.Process.Kill() // it may end just now
		<-c.exited
	}
	return ignoreClosed(err)
}

// Attach returns a client of the running host whose directory is dir. The host does not depend on
// it.
func Attach(ctx context.Context, dir string) (*Client, error) {
	c := newClient(Info{Spec: Spec{Dir: dir}}, nil)
	info, err := c.Info(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach to cluster host: %w", err), c.Close())
	}
	c.info = info
	return c, nil
}
