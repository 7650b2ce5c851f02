package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"seatrial/platforms"
)

// Run runs a command in the guest's own small shell, as Exec does on a machine
// whose platform has no Options.Exec.
func (m *Machine) Run(ctx context.Context, cmd platforms.Command) (platforms.Result, error) {
	stdout, stderr := &output{to: cmd.Stdout}, &output{to: cmd.Stderr}
	p := &process{m: m, stdout: stdout, stderr: stderr}
	if cmd.Stdin != nil {
		stdin, done, err := pipe(ctx, cmd.Stdin)
		if err != nil {
			return platforms.Result{}, err
		}
		defer done()
		p.stdin = stdin
	}
	err := p.shell(ctx, cmd.Line)
	if ctx.Err() != nil {
		return platforms.Result{}, context.Cause(ctx)
	}
	res := platforms.Result{
		Stdout: stdout.kept.Bytes(), Stderr: stderr.kept.Bytes(), Truncated: stdout.truncated || stderr.truncated,
	}
	if killed, ok := errors.AsType[signalError](err); ok {
		res.Signal, res.ExitCode = killed.name, 128+killed.number
		return res, nil
	}
	res.ExitCode, err = exitStatus(err)
	return res, err
}

// exitStatus is the exit status of a command that ran, or else an error.
func exitStatus(err error) (int, error) {
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(status), nil
	}
	return 0, err
}

// pipe makes an operating system's pipe of a reader, as the shell wants it. It
// cannot be read any more when ctx has ended or done was called.
func pipe(ctx context.Context, r io.Reader) (_ *os.File, done func(), err error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	go func() {
		_, _ = io.Copy(pw, r) // the program may not read everything
		pw.Close()
	}()
	stop := context.AfterFunc(ctx, func() { pr.Close() })
	return pr, func() {
		stop()
		pr.Close()
	}, nil
}

// output keeps the start of what a command prints, or hands on all of it.
type output struct {
	to io.Writer

	mu        sync.Mutex
	kept      bytes.Buffer
	truncated bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to != nil {
		return o.to.Write(p)
	}
	room := platforms.MaxOutput - o.kept.Len()
	o.truncated = o.truncated || len(p) > room
	o.kept.Write(p[:min(len(p), room)])
	return len(p), nil
}

// process is a program that a guest runs.
type process struct {
	m              *Machine
	root           bool
	dir            string
	stdin          io.Reader // nil, or an *os.File
	stdout, stderr io.Writer
}

// signalError ends a command by a signal.
type signalError struct {
	name   string
	number int
}

func (e signalError) Error() string { return "killed by SIG" + e.name }

// shell runs a script. Its exit status is an [interp.ExitStatus].
func (p *process) shell(ctx context.Context, script string, params ...string) error {
	parsed, err := p.m.cluster.platform.parse(script)
	if err != nil {
		return p.fail(2, "sh: %v", err)
	}
	env := p.m.cluster.platform.user
	if p.root {
		env = p.m.cluster.platform.root
	}
	r, err := interp.New(
		interp.Env(env),
		interp.Dir("/"),
		interp.Params(append([]string{"--"}, params...)...),
		interp.StdIO(p.stdin, p.stdout, p.stderr),
		interp.CallHandler(call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return p.exec }),
		interp.OpenHandler(p.open),
		interp.StatHandler(func(_ context.Context, name string, _ bool) (fs.FileInfo, error) { return p.m.files.stat(name) }),
		interp.AccessHandler(p.access),
		interp.ReadDirHandler2(func(_ context.Context, dir string) ([]fs.DirEntry, error) { return p.m.files.list(dir), nil }),
	)
	if err != nil {
		return fmt.Errorf("make a shell: %w", err)
	}
	return r.Run(ctx, parsed)
}

// maxParsed bounds the scripts whose syntax trees are kept.
const maxParsed = 256

// parse returns the syntax tree of a script. The harness runs the same few on
// each of thousands of machines.
func (p *Platform) parse(script string) (*syntax.File, error) {
	p.mu.Lock()
	parsed := p.parsed[script]
	p.mu.Unlock()
	if parsed != nil {
		return parsed, nil
	}
	parsed, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parsed) < maxParsed {
		p.parsed[script] = parsed
	}
	return parsed, nil
}

// environ is the environment of a user's shell. It has all that the interpreter
// would otherwise take from this host.
func environ(user string) expand.Environ {
	return expand.ListEnviron("HOME=/", "PATH=/usr/bin", "TMPDIR=/tmp", "UID=", "EUID=", "GID=", "USER="+user)
}

// fail says something on standard error and returns an exit status.
func (p *process) fail(status uint8, format string, args ...any) error {
	fmt.Fprintf(p.stderr, format+"\n", args...) //nolint:errcheck // nobody listens
	return interp.ExitStatus(status)
}

// call takes the place of the shell's builtins that would look at this host.
func call(_ context.Context, args []string) ([]string, error) {
	switch {
	case args[0] == "kill":
		return append([]string{"/usr/bin/kill"}, args[1:]...), nil
	case args[0] == "command" && len(args) == 3 && args[1] == "-v":
		return []string{"/usr/bin/which", args[2]}, nil
	}
	return args, nil
}

// exec runs a program.
func (p *process) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	child := &process{m: p.m, root: p.root, dir: hc.Dir, stdin: hc.Stdin, stdout: hc.Stdout, stderr: hc.Stderr}
	return child.run(ctx, args)
}

func (p *process) run(ctx context.Context, args []string) error {
	program := p.m.cluster.platform.programs[path.Base(args[0])]
	if program == nil {
		return p.fail(127, "%s: command not found", args[0])
	}
	return program(ctx, p, args[1:])
}

// path makes a file name absolute.
func (p *process) path(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(p.dir, name)
}

func (p *process) open(ctx context.Context, name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	if address, ok := strings.CutPrefix(name, "/dev/tcp/"); ok {
		host, port, _ := strings.Cut(address, "/")
		conn, err := p.m.dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			return nil, &fs.PathError{Op: "connect", Path: name, Err: err}
		}
		return conn, nil
	}
	if !path.IsAbs(name) {
		name = path.Join(interp.HandlerCtx(ctx).Dir, name)
	}
	return p.m.files.open(name, flag, perm, p.root)
}

func (p *process) access(_ context.Context, name string, mode interp.AccessMode) error {
	found, err := p.m.files.stat(name)
	if err != nil {
		return err
	}
	if mode&interp.AccessExec != 0 && found.Mode()&0o111 == 0 {
		return fs.ErrPermission
	}
	if !p.root && found.Mode()&fs.FileMode(mode) == 0 {
		return fs.ErrPermission
	}
	return nil
}
