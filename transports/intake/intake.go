package intake

import (
	"fmt"
	"sync"
	"time"
)

// Small is the size up to which a body or message counts as small, in bytes. The last quarter of a
// budget, and a quarter more of each share, is for small ones: large ones cannot keep them out.
const Small = 64 << 10

// DefaultTotal is the size of a budget unless the largest body needs more, in bytes.
const DefaultTotal = 128 << 20

// Budget bounds what all senders send at once. A nil Budget bounds nothing.
type Budget struct {
	total, share int64 // bytes

	mu        sync.Mutex // guards what follows
	taken     int64
	senders   map[string]int64 // bytes of each; none of 0
	overTotal uint64
	overShare uint64
	late      uint64
}

// New returns a Budget of DefaultTotal, or of four times the largest body. The share of a sender is
// a quarter of it.
func New(largest int64) *Budget {
	total, share := int64(DefaultTotal), int64(DefaultTotal/4)
	switch {
	case largest > 1<<60: // no limit: a sender may take all that there is
		share = total
	case largest > share:
		total, share = 4*largest, largest
	}
	return &Budget{total: total, share: share, senders: make(map[string]int64)}
}

// FullError says which limit a reservation has met.
type FullError struct {
	Share bool  // that of the sender, else that of all together
	Limit int64 // bytes
}

func (e *FullError) Error() string {
	if e.Share {
		return fmt.Sprintf("this token, or this address without one, is sending %d bytes at once, its share of what the hub receives", e.Limit)
	}
	return fmt.Sprintf("the hub is receiving %d bytes at once, and takes no more", e.Limit)
}

// Reservation is the memory of one body, line or message. Its zero value is not counted. It may be
// used by several goroutines.
type Reservation struct {
	budget *Budget
	sender string
	free   int64

	held   int64 // size, as counted; guarded by budget.mu
	closed bool  // guarded by budget.mu
}

// Open returns a Reservation of nothing for a sender. The first free bytes of it do not count: they
// are bounded by the number of connections. Close must follow.
func (b *Budget) Open(sender string, free int64) *Reservation {
	return &Reservation{budget: b, sender: sender, free: free}
}

// Resize sets the size to what is about to be allocated. With a *FullError it stays what it was; a
// smaller size is always accepted. After Close it does nothing.
func (r *Reservation) Resize(size int64) error {
	if r == nil || r.budget == nil {
		return nil
	}
	counted := max(0, size-r.free)
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	more := counted - r.held
	if r.closed || more == 0 {
		return nil
	}
	if more > 0 {
		if err := b.refuse(r.sender, more, size); err != nil {
			return err
		}
	}
	r.held = counted
	b.add(r.sender, more)
	return nil
}

// refuse is called with mu held.
func (b *Budget) refuse(sender string, more, size int64) error {
	total, share := b.total, b.share
	if size > Small {
		total -= total / 4
	} else {
		share += share / 4
	}
	switch {
	case b.senders[sender]+more > share:
		b.overShare++
		return &FullError{Share: true, Limit: share}
	case b.taken+more > total:
		b.overTotal++
		return &FullError{Limit: total}
	}
	return nil
}

// add is called with mu held.
func (b *Budget) add(sender string, more int64) {
	b.taken += more
	if b.senders[sender] += more; b.senders[sender] == 0 {
		delete(b.senders, sender)
	}
}

// Close gives everything back. More calls do nothing.
func (r *Reservation) Close() {
	if r == nil || r.budget == nil {
		return
	}
	r.budget.mu.Lock()
	defer r.budget.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.budget.add(r.sender, -r.held)
		r.held = 0
	}
}

// Late counts a body, line or message that did not arrive in its time.
func (b *Budget) Late() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late++
}

// Stats is what a Budget has counted.
type Stats struct {
	Taken   int64 // bytes that are reserved now
	Senders int   // senders that hold some
	// Refused is by the limit: "receiving" (of all together), "receiving_per_token", and
	// "receiving_time".
	Refused map[string]uint64
}

// Stats returns the counts up to now.
func (b *Budget) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Taken: b.taken, Senders: len(b.senders), Refused: map[string]uint64{
		"receiving": b.overTotal, "receiving_per_token": b.overShare, "receiving_time": b.late,
	}}
}

// The time for a body, line or message as a whole, in units of the time for a part of it.
const (
	partsAtLeast = 6
	perPart      = 1 << 20 // bytes
)

// TimeFor returns how long something of a size may take to arrive, of which each part must arrive
// within the time for a part (0: no limit): six times that, and once more for each MiB.
func TimeFor(size int64, part time.Duration) time.Duration {
	return part * time.Duration(partsAtLeast+size/perPart)
}
