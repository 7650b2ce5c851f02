package vnet

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// maxDelayed bounds the frames held back by impairments in one network.
const maxDelayed = 16384

// delayLine holds frames until they are due. Frames due at the same time keep their order.
type delayLine struct {
	mu     sync.Mutex
	queue  delayQueue
	serial uint64
	wake   chan struct{} // the earliest due time may have changed
}

type delayed struct {
	due    time.Time
	serial uint64
	to     *port
	frame  []byte
}

func newDelayLine() *delayLine {
	return &delayLine{wake: make(chan struct{}, 1)}
}

// add holds a frame back until due; false if too many are held already.
func (d *delayLine) add(to *port, frame []byte, due time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) >= maxDelayed {
		return false
	}
	d.serial++
	heap.Push(&d.queue, delayed{due: due, serial: d.serial, to: to, frame: frame})
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return true
}

// run delivers frames as they fall due until ctx ends.
func (d *delayLine) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(d.deliverDue())
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-timer.C:
		}
	}
}

// deliverDue delivers what is due and returns the time until the next frame is.
func (d *delayLine) deliverDue() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for len(d.queue) > 0 {
		if wait := d.queue[0].due.Sub(now); wait > 0 {
			return wait
		}
		x := heap.Pop(&d.queue).(delayed)
		x.to.enqueue(x.frame)
	}
	return time.Hour // nothing waits; add wakes the line
}

// delayQueue is a heap of frames by due time, then by arrival.
type delayQueue []delayed

func (q delayQueue) Len() int { return len(q) }
func (q delayQueue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].serial < q[j].serial
	}
	return q[i].due.Before(q[j].due)
}
func (q delayQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *delayQueue) Push(x any)   { *q = append(*q, x.(delayed)) }
func (q *delayQueue) Pop() any {
	old := *q
	last := len(old) - 1
	x := old[last]
	old[last] = delayed{}
	*q = old[:last]
	return x
}
