package fake

import (
	"context"
	"errors"
	"fmt"

	"github.com/kballard/go-shellquote"

	"seatrial/platforms"
)

var (
	_ platforms.Forker  = (*Platform)(nil)
	_ platforms.Starter = (*Machine)(nil)
)

// template is a machine in memory from which others are forked.
type template struct {
	bootID string
	done   chan struct{} // closed when it is made, or err is set
	err    error
	given  bool // up: who made it was told to stop, and that says nothing of the template
}

// unforkable says why machines of a spec always start cold.
func (p *Platform) unforkable(spec platforms.MachineSpec) error {
	why := ""
	switch {
	case !p.caps.Has[platforms.Fork]:
		why = string(platforms.Fork)
	case spec.Cold:
		why = "a fork that is cold"
	case spec.NoSSHKey:
		why = "a fork that cannot be entered by the run's key"
	case spec.TPM:
		why = "a fork with the state of a TPM"
	default:
		return nil
	}
	return fmt.Errorf("%s: %w", why, platforms.ErrUnsupported)
}

// templateKey tells templates apart.
func templateKey(spec platforms.MachineSpec) string {
	spec.Name, spec.Console, spec.Progress = "", nil, nil
	return fmt.Sprintf("%q %+v", spec.UserData, spec)
}

// HasTemplate implements [platforms.Forker].
func (p *Platform) HasTemplate(spec platforms.MachineSpec) bool {
	if p.unforkable(spec) != nil {
		return false
	}
	p.mu.Lock()
	t := p.templates[templateKey(spec)]
	p.mu.Unlock()
	if t == nil {
		return false
	}
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Template implements [platforms.Forker].
func (p *Platform) Template(ctx context.Context, spec platforms.MachineSpec) error {
	if err := p.unforkable(spec); err != nil {
		return fmt.Errorf("make a template: %w", err)
	}
	_, err := p.template(ctx, spec)
	return err
}

// template returns the template of a spec, which is made if it is missing.
func (p *Platform) template(ctx context.Context, spec platforms.MachineSpec) (*template, error) {
	key := templateKey(spec)
	for {
		p.mu.Lock()
		t := p.templates[key]
		if t == nil {
			t = &template{bootID: newBootID(), done: make(chan struct{})}
			p.templates[key] = t
			p.mu.Unlock()
			p.make(ctx, t, key, spec)
			return t, t.err
		}
		p.mu.Unlock()
		select {
		case <-t.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !t.given {
			return t, t.err
		}
	}
}

// make makes a template. One that failed is forgotten.
func (p *Platform) make(ctx context.Context, t *template, key string, spec platforms.MachineSpec) {
	if p.options.Template != nil {
		t.err = p.options.Template(ctx, spec)
	}
	if t.err == nil {
		t.err = context.Cause(ctx)
	}
	if t.err != nil {
		t.given = ctx.Err() != nil
		t.err = fmt.Errorf("make a template: %w", t.err)
		p.mu.Lock()
		delete(p.templates, key)
		p.mu.Unlock()
	}
	close(t.done)
}

// fork makes the machine a fork of its template, or says why it has to boot.
func (m *Machine) fork(ctx context.Context) error {
	p := m.cluster.platform
	t, err := p.template(ctx, m.spec)
	if err == nil && p.options.Restore != nil {
		err = p.options.Restore(ctx, m, m.spec)
	}
	if err == nil && m.spec.Prepare != "" { // in the template, as far as anybody can tell
		err = m.prepare(ctx)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.how, m.bootID = platforms.StartFork, t.bootID
	m.mu.Unlock()
	m.Print("random: crng reseeded due to virtual machine fork\n")
	return nil
}

func (m *Machine) prepare(ctx context.Context) error {
	r, err := m.Run(ctx, platforms.Command{Line: "sudo -n sh -c " + shellquote.Join(m.spec.Prepare)})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit status %d", r.ExitCode)
	}
	if err != nil {
		return fmt.Errorf("make a template: prepare: %w", err)
	}
	return nil
}

// Started implements [platforms.Starter].
func (m *Machine) Started() (platforms.Start, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.how, m.fallback
}

// origin brings up a new machine: as a fork if it may be one, and else by a
// boot.
func (m *Machine) origin(ctx context.Context) error {
	if m.cluster.platform.unforkable(m.spec) == nil {
		m.spec.Progress("forking")
		err := m.fork(ctx)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, m.reached(ctx))
		}
		m.mu.Lock()
		m.fallback = err
		m.mu.Unlock()
	}
	m.spec.Progress("booting")
	return m.start(ctx)
}
