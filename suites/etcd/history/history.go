// Package history judges what clients of a replicated store were told against
// what the store holds in the end.
//
// The store puts all its writes into one order, the log, and numbers them by
// revisions. A history is right when that order explains everything that the
// clients saw: each acknowledged write is in it, at the revision that was
// acknowledged; a write that ended before another began comes first; and no
// read returned less than what was acknowledged, or read, before it began. For
// such a log that is linearizability, without a search for the order.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Op is a write or a read of one key by a client.
type Op struct {
	Client string `json:"client"`
	Read   bool   `json:"read,omitempty"`
	Key    string `json:"key"`
	// Value is what was written, which no other write has, or what was read.
	Value string `json:"value"`
	// Revision is that of the write, or of the version that was read: 0 when
	// the key did not exist.
	Revision int64 `json:"revision"`
	// Invoked and Returned are times since the start of the history.
	Invoked  time.Duration `json:"invoked"`
	Returned time.Duration `json:"returned"`
	// Acked says that the store answered. What became of a write that it did
	// not answer is open.
	Acked bool `json:"acked"`
}

func (o Op) String() string {
	verb := "write"
	if o.Read {
		verb = "read"
	}
	return fmt.Sprintf("%s of %s by %s (%q, revision %d, %s to %s)", verb, o.Key, o.Client, o.Value, o.Revision,
		o.Invoked.Round(time.Millisecond), o.Returned.Round(time.Millisecond))
}

// Version is an entry of the log.
type Version struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	Revision int64  `json:"revision"`
	Deleted  bool   `json:"deleted,omitempty"`
}

// Check returns what is wrong with a history, and nothing if it is right.
func Check(ops []Op, log []Version) []string {
	c := checker{writes: map[string]Op{}, log: map[int64]Version{}}
	c.takeWrites(ops)
	c.takeLog(log)
	c.acked(ops)
	c.order(ops, log)
	return c.faults
}

type checker struct {
	writes map[string]Op     // by value
	log    map[int64]Version // by revision
	faults []string
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *checker) takeWrites(ops []Op) {
	for _, o := range ops {
		if o.Read {
			continue
		}
		if other, ok := c.writes[o.Value]; ok {
			c.fault("the history proves nothing: two writes have the same value: %s and %s", other, o)
		}
		c.writes[o.Value] = o
	}
}

// takeLog wants every entry of the log to be the one effect of a write.
func (c *checker) takeLog(log []Version) {
	effects := map[string]int64{}
	last := int64(0)
	for _, v := range log {
		write, known := c.writes[v.Value]
		switch first, twice := effects[v.Value]; {
		case v.Revision <= last:
			c.fault("the log is out of order: revision %d comes after %d", v.Revision, last)
		case v.Deleted:
			c.fault("%s was deleted at revision %d, and no client did it", v.Key, v.Revision)
		case !known || write.Key != v.Key:
			c.fault("%s has the value %q at revision %d, which no client wrote", v.Key, v.Value, v.Revision)
		case twice:
			c.fault("the %s took place twice, at revisions %d and %d", write, first, v.Revision)
		}
		last = max(last, v.Revision)
		effects[v.Value] = v.Revision
		c.log[v.Revision] = v
	}
}

// acked wants every answer to agree with the log.
func (c *checker) acked(ops []Op) {
	for _, o := range ops {
		if !o.Acked || o.Read && o.Revision == 0 {
			continue
		}
		v, ok := c.log[o.Revision]
		switch agrees := ok && !v.Deleted && v.Key == o.Key && v.Value == o.Value; {
		case !agrees && o.Read:
			c.fault("the %s returned what is not in the log", o)
		case !agrees:
			c.fault("the acknowledged %s is lost", o)
		}
	}
}

// order wants the log to agree with the order in time of what did not overlap.
func (c *checker) order(ops []Op, log []Version) {
	placed := map[string]int64{}
	for _, v := range log {
		if !v.Deleted {
			placed[v.Value] = v.Revision
		}
	}
	byStart, byEnd := slices.Clone(ops), slices.Clone(ops)
	slices.SortStableFunc(byStart, func(a, b Op) int { return cmp.Compare(a.Invoked, b.Invoked) })
	slices.SortStableFunc(byEnd, func(a, b Op) int { return cmp.Compare(a.Returned, b.Returned) })
	var lastWrite Op            // that ended before the present operation began
	newest := map[string]Op{}   // of each key, likewise: the operation that knew the highest revision
	for _, o := range byStart { // and byEnd is advanced along
		for len(byEnd) > 0 && byEnd[0].Returned < o.Invoked {
			e := byEnd[0]
			byEnd = byEnd[1:]
			if !e.Acked {
				continue
			}
			if !e.Read && e.Revision > lastWrite.Revision {
				lastWrite = e
			}
			if e.Revision > newest[e.Key].Revision {
				newest[e.Key] = e
			}
		}
		c.placed(o, placed[o.Value], lastWrite, newest[o.Key])
	}
}

// placed judges one operation after those that ended before it began. at is the
// revision of its value in the log, 0 without one.
func (c *checker) placed(o Op, at int64, lastWrite, newest Op) {
	switch {
	case !o.Read && at != 0 && at <= lastWrite.Revision:
		c.fault("the %s is at revision %d of the log, before the earlier %s", o, at, lastWrite)
	case o.Read && o.Acked && o.Revision < newest.Revision:
		c.fault("the %s is stale: before it was the %s", o, newest)
	case o.Read && o.Acked && o.Revision != 0 && c.writes[o.Value].Invoked > o.Returned:
		c.fault("the %s returned a write of the future: %s", o, c.writes[o.Value])
	}
}
