package console

import "time"

// Note writes a line that is for the person who watches, and no part of the
// run: a replayed run does not have it.
func (c *Console) Note(at time.Time, text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linef(at, "", "", "note", "%s", text)
	return c.flush()
}

// Pause wipes the live lines and keeps quiet, so that something else can have
// the terminal. What happens meanwhile is written when resume is called.
func (c *Console) Pause() (resume func() error, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
	return c.resume, c.flush()
}

func (c *Console) resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = false
	return c.flush()
}
