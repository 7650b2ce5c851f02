package harness

import (
	"cmp"
	"context"
	"slices"
	"time"

	"seatrial/internal/schedule"
	"seatrial/platforms"
)

// task is work that is admitted as one.
type task struct {
	rank int // what has the lowest goes first, if it fits
	run  func(ctx context.Context, lease *schedule.Lease)
	// drop, when not nil, is called instead if the run ends before.
	drop func()
}

// queue is the tasks that take the same of this host, in the order of their
// ranks. When the first of them does not fit, none does.
type queue struct {
	queueKey
	spec     platforms.MachineSpec // of the machines that are forked
	waiting  []task
	building bool // the template is missing, and a task that makes it runs
}

// queueKey is what the tasks of a queue have in common.
type queueKey struct {
	target *target
	cost   schedule.Cost  // when machines are forked, or start cold as they shall
	cold   schedule.Cost  // when they are not forked, though they should be
	share  schedule.Share // memory in common with other forks; named after the template
}

// forks reports whether the machines are forked.
func (k queueKey) forks() bool { return k.share.Name != "" }

// need is what the first task takes now. A task that has to make the template
// takes as much as one that boots cold; while it is made, the others wait.
func (q *queue) need() (cost schedule.Cost, share schedule.Share, builds, ok bool) {
	if !q.forks() {
		return q.cost, schedule.Share{}, false, true
	}
	now, ever := q.target.canFork(q.spec)
	switch {
	case now:
		return q.cost, q.share, false, true
	case !ever:
		return q.cold, schedule.Share{}, false, true
	}
	return q.cold, schedule.Share{}, true, !q.building
}

// rank orders queues by what they can start next. A template for which several
// tasks wait is made first.
func (q *queue) rank(builds bool) int {
	if builds && len(q.waiting) > 1 {
		return -1
	}
	return q.waiting[0].rank
}

// plan puts the jobs that have to be run into queues, those that take longest
// before others.
func (r *runner) plan(jobs []Job) {
	var todo []Job
	for _, j := range jobs {
		if r.opts.Done != nil && r.opts.Done(j.Cell) {
			r.settle()
			continue
		}
		todo = append(todo, j)
	}
	if r.opts.Pack && r.opts.Repeat <= 1 {
		todo = r.packs(todo)
	}
	for rank, j := range r.longestFirst(todo) {
		c := r.newCell(j)
		r.put(j, r.opts.Start, task{rank: rank, run: func(ctx context.Context, lease *schedule.Lease) { r.job(ctx, c, lease) }})
	}
}

// longestFirst orders jobs by how long they are expected to take. What is not
// known counts as the middle of what is.
func (r *runner) longestFirst(jobs []Job) []Job {
	if r.opts.Expected == nil {
		return jobs
	}
	expected := make(map[*Job]time.Duration, len(jobs))
	sorted := make([]*Job, len(jobs))
	var known []time.Duration
	for i := range jobs {
		sorted[i] = &jobs[i]
		if d := r.opts.Expected(jobs[i].Cell); d > 0 {
			expected[sorted[i]] = d
			known = append(known, d)
		}
	}
	if len(known) == 0 {
		return jobs
	}
	slices.Sort(known)
	middle := known[len(known)/2]
	of := func(j *Job) time.Duration {
		if d, ok := expected[j]; ok {
			return d
		}
		return middle
	}
	slices.SortStableFunc(sorted, func(a, b *Job) int { return cmp.Compare(of(b), of(a)) })
	out := make([]Job, len(jobs))
	for i, j := range sorted {
		out[i] = *j
	}
	return out
}

// put adds a task for a job to the queue of its kind.
func (r *runner) put(j Job, start Start, t task) {
	key, spec := r.kind(j, start)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.queues {
		if q.queueKey == key {
			at, _ := slices.BinarySearchFunc(q.waiting, t.rank+1, func(t task, rank int) int { return cmp.Compare(t.rank, rank) })
			q.waiting = slices.Insert(q.waiting, at, t)
			return
		}
	}
	r.queues = append(r.queues, &queue{queueKey: key, spec: spec, waiting: []task{t}})
}

// kind is what a job takes of this host, and the spec of its machines where
// they are forked.
func (r *runner) kind(j Job, start Start) (queueKey, platforms.MachineSpec) {
	t, needs := r.targets[j.platform], j.Test.Needs
	if j.Skip != "" || !t.caps.Local {
		return queueKey{target: t}, platforms.MachineSpec{}
	}
	key := queueKey{target: t, cost: t.coldCost(needs)}
	spec := needs.Spec
	if spec.UserData == nil {
		spec.UserData = []byte(needs.UserData)
	}
	if needs.MachineCount() == 0 || !t.forks(start, needs, spec) {
		return key, spec
	}
	key.cold = key.cost
	key.cost, key.share = t.forkCost(needs)
	key.share.Name = t.caps.Arch + " " + t.caps.Image.Digest + " " + templateKey(spec)
	return key, spec
}

// machine is the memory and the CPUs of each machine that a test needs.
func (t *target) machine(needs Needs) (memoryMiB, cpus int) {
	memoryMiB, cpus = t.caps.MemoryMiB, t.caps.CPUs
	if needs.Spec.MemoryMiB > 0 {
		memoryMiB = needs.Spec.MemoryMiB
	}
	if needs.Spec.CPUs > 0 {
		cpus = needs.Spec.CPUs
	}
	return memoryMiB, cpus
}

// coldCost is what a test takes of this host whose machines share nothing.
func (t *target) coldCost(needs Needs) schedule.Cost {
	if !t.caps.Local {
		return schedule.Cost{}
	}
	memory, cpus := t.machine(needs)
	n := max(1, needs.MachineCount())
	cost := schedule.Cost{MemoryMiB: n * (memory + t.caps.OverheadMiB), CPUs: float64(n * cpus)}
	if !needs.Busy {
		cost.CPUs /= 2
	}
	return cost
}

// forkCost is what a test takes of this host whose machines are forks, and
// what they have in common with other forks of their template.
func (t *target) forkCost(needs Needs) (schedule.Cost, schedule.Share) {
	cost := t.coldCost(needs)
	memory, _ := t.machine(needs)
	if t.caps.ForkMiB == 0 {
		return cost, schedule.Share{}
	}
	own := max(t.caps.ForkMiB, t.caps.ForkMiB*memory/max(1, t.caps.MemoryMiB))
	cost.MemoryMiB = max(1, needs.MachineCount()) * own
	return cost, schedule.Share{MemoryMiB: memory}
}

// schedule runs the tasks as the budget admits them, until there are none. What
// does not fit is passed over until it does; tasks behind it that fit go first.
func (r *runner) schedule(ctx context.Context) {
	defer func() {
		r.working.Wait()
		r.dropAll()
	}()
	for {
		freed := r.opts.Budget.Freed()
		if !r.draining(ctx) && r.admit(ctx) == 0 {
			return
		}
		if r.draining(ctx) {
			return
		}
		select {
		case <-freed:
		case <-r.woken:
		case <-r.opts.Drain:
		case <-r.stop:
		case <-ctx.Done():
		}
	}
}

// dropAll tells the tasks that will not start any more.
func (r *runner) dropAll() {
	for _, q := range r.queues {
		for _, t := range q.waiting {
			if t.drop != nil {
				t.drop()
			}
		}
	}
}

// wake makes the scheduler look for something to start.
func (r *runner) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// admit starts the tasks that fit now, in the order of their ranks, and returns
// how many run or wait.
func (r *runner) admit(ctx context.Context) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	type candidate struct {
		*queue
		cost   schedule.Cost
		share  schedule.Share
		builds bool
	}
	var candidates []candidate
	open := r.running
	for _, q := range r.queues {
		open += len(q.waiting)
		if len(q.waiting) == 0 {
			continue
		}
		if cost, share, builds, ok := q.need(); ok {
			candidates = append(candidates, candidate{q, cost, share, builds})
		}
	}
	for len(candidates) > 0 && !r.draining(ctx) {
		c := slices.MinFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.rank(a.builds), b.rank(b.builds)) })
		lease, ok := r.opts.Budget.TryAcquire(c.cost, c.share)
		if ok {
			r.start(ctx, c.queue, c.builds, lease)
		}
		if !ok || c.builds || len(c.waiting) == 0 {
			candidates = slices.DeleteFunc(candidates, func(other candidate) bool { return other.queue == c.queue })
		}
	}
	return open
}

// start runs the first task of a queue. r.mu is held.
func (r *runner) start(ctx context.Context, q *queue, builds bool, lease *schedule.Lease) {
	t := q.waiting[0]
	q.waiting = q.waiting[1:]
	q.building = q.building || builds
	r.running++
	r.working.Go(func() {
		t.run(ctx, lease)
		lease.Release()
		r.mu.Lock()
		r.running--
		if builds {
			q.building = false
		}
		r.mu.Unlock()
		r.wake()
	})
}

// draining reports whether no further task shall start.
func (r *runner) draining(ctx context.Context) bool {
	select {
	case <-ctx.Done():
	case <-r.opts.Drain:
	case <-r.stop:
	default:
		return false
	}
	return true
}

// acquire waits until a further attempt of a job fits. It returns nil when none
// shall start any more.
func (r *runner) acquire(ctx context.Context, c *cell, start Start) *schedule.Lease {
	key, spec := r.kind(c.Job, start)
	q := &queue{queueKey: key, spec: spec}
	for {
		freed := r.opts.Budget.Freed()
		if r.draining(ctx) {
			return nil
		}
		cost, share, _, _ := q.need()
		if lease, ok := r.opts.Budget.TryAcquire(cost, share); ok {
			return lease
		}
		select {
		case <-freed:
		case <-r.opts.Drain:
		case <-r.stop:
		case <-ctx.Done():
		}
	}
}
