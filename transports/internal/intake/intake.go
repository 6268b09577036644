package intake

import (
	"fmt"
	"sync"
	"time"
)

// SmallSize is the size, in bytes, up to which a body or message counts as small. The last quarter
// of a budget, and an additional quarter of each share, are reserved for small bodies and messages,
// so that large ones cannot exclude them.
const SmallSize = 64 << 10

// DefaultTotal is the size of a budget in bytes, unless the largest body needs more.
const DefaultTotal = 128 << 20

// Budget limits the memory of all senders together and of each sender. A nil Budget has no limits.
type Budget struct {
	total, share int64 // bytes

	mu        sync.Mutex // guards the fields below
	taken     int64
	senders   map[string]int64 // bytes by sender; no zero entries
	overTotal uint64
	overShare uint64
	late      uint64
}

// New returns a Budget of DefaultTotal bytes, or of four times largest, the size of the largest
// body, if that is more. A sender's share is a quarter of it.
func New(largest int64) *Budget {
	total, share := int64(DefaultTotal), int64(DefaultTotal/4)
	switch {
	case largest > 1<<60: // there is no limit, so one sender may use the whole budget
		share = total
	case largest > share:
		total, share = 4*largest, largest
	}
	return &Budget{total: total, share: share, senders: make(map[string]int64)}
}

// FullError names the limit that a reservation would exceed.
type FullError struct {
	Share bool  // the share of the sender; otherwise the limit of all senders
	Limit int64 // bytes
}

func (e *FullError) Error() string {
	if e.Share {
		return fmt.Sprintf("this token, or this address without a token, is already sending %d bytes at the same time, its share of the receive memory", e.Limit)
	}
	return fmt.Sprintf("the hub is already receiving %d bytes at the same time, the limit", e.Limit)
}

// Reservation is the reserved memory of one body, line or message. The zero value counts nothing.
// It is safe for concurrent use.
type Reservation struct {
	budget    *Budget
	sender    string
	uncounted int64

	counted int64 // counted bytes; guarded by budget.mu
	closed  bool  // guarded by budget.mu
}

// Open returns an empty Reservation for a sender. Its first uncounted bytes are not counted,
// because the limit of connections limits them. Close must be called.
func (b *Budget) Open(sender string, uncounted int64) *Reservation {
	return &Reservation{budget: b, sender: sender, uncounted: uncounted}
}

// Resize sets the size of the memory. It must be called before the memory is allocated. If it
// returns a *FullError, the size has not changed. A smaller size is always accepted. After Close it
// does nothing.
func (r *Reservation) Resize(size int64) error {
	if r == nil || r.budget == nil {
		return nil
	}
	counted := max(0, size-r.uncounted)
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	more := counted - r.counted
	if r.closed || more == 0 {
		return nil
	}
	if more > 0 {
		if err := b.check(r.sender, more, size); err != nil {
			return err
		}
	}
	r.counted = counted
	b.add(r.sender, more)
	return nil
}

// check returns an error if more, a number of additional bytes, would exceed a limit. size is the
// new size of the reservation. mu must be held.
func (b *Budget) check(sender string, more, size int64) error {
	total, share := b.total, b.share
	if size > SmallSize {
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

// add changes the counts by n bytes. mu must be held.
func (b *Budget) add(sender string, n int64) {
	b.taken += n
	if b.senders[sender] += n; b.senders[sender] == 0 {
		delete(b.senders, sender)
	}
}

// Close releases the memory. Further calls do nothing.
func (r *Reservation) Close() {
	if r == nil || r.budget == nil {
		return
	}
	r.budget.mu.Lock()
	defer r.budget.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.budget.add(r.sender, -r.counted)
		r.counted = 0
	}
}

// CountLate counts a body, line or message that did not arrive in time.
func (b *Budget) CountLate() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late++
}

// Stats are the counters of a Budget.
type Stats struct {
	Taken   int64 // bytes reserved at present
	Senders int   // number of senders with reserved bytes
	// Refused counts refusals by limit: "receiving" (all senders together), "receiving_per_token"
	// and "receiving_time".
	Refused map[string]uint64
}

// Stats returns the current counts.
func (b *Budget) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Taken: b.taken, Senders: len(b.senders), Refused: map[string]uint64{
		"receiving": b.overTotal, "receiving_per_token": b.overShare, "receiving_time": b.late,
	}}
}

// Multiples of the timeout of one part that make up the timeout of a whole body, line or message.
const (
	minParts     = 6
	bytesPerPart = 1 << 20 // bytes
)

// TimeFor returns the timeout of a body, line or message of size bytes. part is the timeout of each
// part of it (0: none). The timeout of the whole is six times part, plus part for each MiB.
func TimeFor(size int64, part time.Duration) time.Duration {
	return part * time.Duration(minParts+size/bytesPerPart)
}
