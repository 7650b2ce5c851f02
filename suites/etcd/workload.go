package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"seatrial/harness"
	"seatrial/suites/etcd/history"
)

// workload has a client at each member that writes and reads all the time.
type workload struct {
	t          *harness.T
	clients    []*worker
	began      time.Time
	cutLeaders int // partitions in which the leader was alone

	pause  sync.RWMutex // held for reading by operations
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// worker is a client and its history.
type worker struct {
	*client
	w *workload

	mu    sync.Mutex
	ops   []history.Op
	count counts
}

// counts says how a worker's operations ended.
type counts struct{ acked, unanswered int }

func newWorkload(t *harness.T, ms []member) *workload {
	w := &workload{t: t, began: time.Now(), cancel: func() {}}
	for _, m := range ms {
		w.clients = append(w.clients, &worker{client: newClient(m), w: w})
	}
	return w
}

func (w *workload) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	for _, c := range w.clients {
		w.wg.Go(func() { c.work(ctx) })
	}
}

// stop ends the clients; it may be called twice.
func (w *workload) stop() {
	w.cancel()
	w.wg.Wait()
}

const (
	pace       = 100 * time.Millisecond // from one operation of a client to the next, at least
	readsEvery = 3
)

// answerTime is how long a client waits for an answer: longer than an election
// takes.
func (w *workload) answerTime() time.Duration {
	return min(max(w.t.Scale(electionTime), electionTime), maxElectionTime)
}

func (c *worker) work(ctx context.Context) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.operate(ctx, n)
		}
	}
}

// operate does a client's n-th operation and records it.
func (c *worker) operate(ctx context.Context, n int) {
	c.w.pause.RLock()
	defer c.w.pause.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, c.w.answerTime())
	defer cancel()
	op := history.Op{Client: c.name, Key: fmt.Sprintf("r%d", n/readsEvery%registers), Read: n%readsEvery == readsEvery-1}
	var err error
	op.Invoked = time.Since(c.w.began)
	if op.Read {
		var got keyValue
		got, err = c.get(ctx, op.Key)
		op.Value, op.Revision = string(got.Value), got.Revision
	} else {
		op.Value = fmt.Sprintf("%s/%d", c.name, n)
		op.Revision, err = c.put(ctx, op.Key, op.Value)
	}
	op.Returned, op.Acked = time.Since(c.w.began), err == nil
	c.record(op)
}

// mark makes a last write of its own and returns its revision.
func (c *worker) mark(ctx context.Context) (int64, error) {
	op := history.Op{Client: c.name + " at the end", Key: "mark", Invoked: time.Since(c.w.began)}
	op.Value = fmt.Sprintf("mark %d", op.Invoked)
	var err error
	op.Revision, err = c.put(ctx, op.Key, op.Value)
	op.Returned, op.Acked = time.Since(c.w.began), err == nil
	c.record(op)
	return op.Revision, err
}

func (c *worker) record(op history.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ops = append(c.ops, op)
	switch {
	case !op.Acked:
		c.count.unanswered++
	case !op.Read:
		c.count.acked++
	}
}

// more reports whether a count of the worker has grown since before.
func (c *worker) more(before map[string]counts, what string, of func(counts) int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of(c.count) == of(before[c.name]) {
		return fmt.Errorf("no further %s than %d", what, of(c.count))
	}
	return nil
}

func (w *workload) counts() map[string]counts {
	all := map[string]counts{}
	for _, c := range w.clients {
		c.mu.Lock()
		all[c.name] = c.count
		c.mu.Unlock()
	}
	return all
}

// history returns the operations of all clients.
func (w *workload) history() []history.Op {
	var all []history.Op
	for _, c := range w.clients {
		c.mu.Lock()
		all = append(all, c.ops...)
		c.mu.Unlock()
	}
	return all
}
