package vnet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxLearned bounds the MAC table, so that a machine that invents source addresses cannot grow it.
const maxLearned = 4096

// GatewayPort is the name of the gateway's switch port in [Impairment] and [Network.Stats].
const GatewayPort = "gateway"

// etherAddr is a MAC address as a map key.
type etherAddr [6]byte

func (a etherAddr) isGroup() bool { return a[0]&1 != 0 }

// fabric is a learning Ethernet switch. Frames are shared between receivers and never written to.
type fabric struct {
	ctx   context.Context // ends with the network
	delay *delayLine
	hosts *registry // who has which address; nil where nobody knows

	// faults is replaced as a whole: a frame sees either the old faults or the new ones.
	faults   atomic.Pointer[faults]
	captures atomic.Pointer[[]*capture]

	mu      sync.RWMutex
	ports   []*port
	learned map[etherAddr]*port
	pinned  map[etherAddr]*port // never relearned: no machine can take the gateway's address
	stats   map[string]*portStats
}

func newFabric(ctx context.Context) *fabric {
	f := &fabric{
		ctx:     ctx,
		delay:   newDelayLine(),
		learned: make(map[etherAddr]*port),
		pinned:  make(map[etherAddr]*port),
		stats:   make(map[string]*portStats),
	}
	f.captures.Store(new([]*capture))
	return f
}

// attach adds a port under a machine's name. A machine may have several ports.
func (f *fabric) attach(name string) *port {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats[name]
	if s == nil {
		s = new(portStats)
		f.stats[name] = s
	}
	p := &port{name: name, out: make(chan []byte, portQueue), stats: s}
	f.ports = append(slices.Clone(f.ports), p)
	return p
}

// pin fixes an address to a port.
func (f *fabric) pin(addr etherAddr, p *port) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pinned[addr] = p
}

// detach removes a port and what was learned of it.
func (f *fabric) detach(p *port) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ports = slices.DeleteFunc(slices.Clone(f.ports), func(q *port) bool { return q == p })
	for addr, q := range f.learned {
		if q == p {
			delete(f.learned, addr)
		}
	}
}

// forward takes a frame that came in on a port to where it belongs. It never blocks.
func (f *fabric) forward(from *port, frame []byte) {
	if len(frame) < minFrameSize || len(frame) > maxFrameSize {
		from.stats.malformed.Add(1)
		return
	}
	from.stats.rxFrames.Add(1)
	from.stats.rxBytes.Add(uint64(len(frame)))
	for _, c := range *f.captures.Load() {
		c.add(frame)
	}
	if f.foreign(from, frame) {
		from.stats.foreign.Add(1)
		return
	}
	dst, src := etherAddr(frame[0:6]), etherAddr(frame[6:12])
	f.learn(src, from)

	f.mu.RLock()
	to := f.pinned[dst]
	if to == nil {
		to = f.learned[dst]
	}
	ports := f.ports
	f.mu.RUnlock()

	if to != nil && !dst.isGroup() {
		if to != from {
			f.deliver(from, to, frame)
		}
		return
	}
	for _, p := range ports {
		if p != from {
			f.deliver(from, p, frame)
		}
	}
}

// learn remembers behind which port an address is, unless that was given to another machine: QEMU
// announces the address of a restored one by itself, before it can be given its own.
func (f *fabric) learn(src etherAddr, p *port) {
	if src.isGroup() {
		return
	}
	f.mu.RLock()
	known := f.learned[src] == p
	f.mu.RUnlock()
	if known || f.hosts != nil && f.hosts.hasMAC(src, p.name) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, moved := f.learned[src]
	if moved || len(f.learned) < maxLearned {
		f.learned[src] = p
	}
}

// deliver puts a frame into the queue of a port, now or later, unless a fault eats it.
func (f *fabric) deliver(from, to *port, frame []byte) {
	faults := f.faults.Load()
	if faults == nil {
		to.enqueue(frame)
		return
	}
	lost, wait := faults.judge(from.name, to.name)
	switch {
	case lost:
		to.stats.faulted.Add(1)
	case wait <= 0:
		to.enqueue(frame)
	case !f.delay.add(to, frame, time.Now().Add(wait)):
		to.stats.overflowed.Add(1)
	}
}

// startCapture lets a capture see every frame from now on.
func (f *fabric) startCapture(c *capture) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := append(slices.Clone(*f.captures.Load()), c)
	f.captures.Store(&next)
}

// stopCapture undoes startCapture.
func (f *fabric) stopCapture(c *capture) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(*f.captures.Load()), func(x *capture) bool { return x == c })
	f.captures.Store(&next)
}

// errClosed is why a port ends when its network does.
var errClosed = errors.New("network closed")
