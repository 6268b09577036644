package intake

import (
	"fmt"
	"sync"
	"time"
)

// SmallSize is the size, in bytes, up to which a body or message counts as small. Large bodies and
// messages may use only three quarters of a budget, so that memory is left for small ones. Small ones
// may also exceed a sender's share by a quarter.
const SmallSize = 64 << 10

// DefaultTotal is the minimum size of a budget, in bytes; see New.
const DefaultTotal = 128 << 20

// Budget limits the memory of all senders together and of each sender. A nil Budget has no limits.
type Budget struct {
	total, share int64 // bytes

	mu        sync.Mutex       // guards the fields below
	taken     int64            // reserved bytes of all senders
	senders   map[string]int64 // reserved bytes by sender; no zero entries
	overTotal uint64           // refusals because of total
	overShare uint64           // refusals because of share
	late      uint64           // see CountLate
}

// New returns a Budget. largest is the size of the largest body that the hub accepts. The budget has
// DefaultTotal bytes, or four times the size of the largest body if that is more. Each sender's share is
// a quarter of the budget.
func New(largest int64) *Budget {
	total, share := int64(DefaultTotal), int64(DefaultTotal/4)
	switch {
	case largest > 1<<60: // the size of a body is unlimited, so one sender may use the whole budget
		share = total
	case largest > share:
		total, share = 4*largest, largest
	}
	return &Budget{total: total, share: share, senders: make(map[string]int64)}
}

// FullError names the limit that a reservation would exceed.
type FullError struct {
	Share bool  // whether the sender's share is exceeded; otherwise the limit of all senders together
	Limit int64 // the exceeded limit, in bytes
}

func (e *FullError) Error() string {
	if e.Share {
		return fmt.Sprintf("the data that this token (or this address, without a token) is sending exceeds its share of the receive memory, %d bytes", e.Limit)
	}
	return fmt.Sprintf("the data that the hub is receiving exceeds the receive memory, %d bytes", e.Limit)
}

// Reservation is the reserved memory of one body, line or message. The zero value counts nothing.
// It is safe for concurrent use.
type Reservation struct {
	budget    *Budget
	sender    string
	uncounted int64 // see Budget.Open

	counted int64 // counted bytes; guarded by budget.mu
	closed  bool  // guarded by budget.mu
}

// Open returns an empty Reservation for a sender. The parameter uncounted is the number of bytes in the
// Reservation that do not count toward the budget. The maximum number of connections limits the total of
// all such bytes. Close must be called.
func (b *Budget) Open(sender string, uncounted int64) *Reservation {
	return &Reservation{budget: b, sender: sender, uncounted: uncounted}
}

// Resize changes the size of the reserved memory to size bytes. It must be called before the memory is
// allocated. If the budget has no room, Resize returns a *FullError and does not change the size. A
// smaller size is always accepted. After Close, Resize does nothing.
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

// check returns an error if n additional bytes would exceed a limit. size is the new size of the
// reservation. mu must be held.
func (b *Budget) check(sender string, n, size int64) error {
	total, share := b.total, b.share
	if size > SmallSize {
		total -= total / 4
	} else {
		share += share / 4
	}
	switch {
	case b.senders[sender]+n > share:
		b.overShare++
		return &FullError{Share: true, Limit: share}
	case b.taken+n > total:
		b.overTotal++
		return &FullError{Limit: total}
	}
	return nil
}

// add adds n bytes, which may be negative, to the reserved bytes of a sender. mu must be held.
func (b *Budget) add(sender string, n int64) {
	b.taken += n
	if b.senders[sender] += n; b.senders[sender] == 0 {
		delete(b.senders, sender)
	}
}

// Close returns the memory to the budget. Further calls do nothing.
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
	Taken   int64 // currently reserved bytes
	Senders int   // number of senders with reserved bytes
	// Refused counts refusals by the limit that was exceeded: "receiving" (the memory of all senders
	// together), "receiving_per_token" (a sender's share) and "receiving_time" (see CountLate).
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

// Constants of TimeFor.
const (
	minParts     = 6       // timeout of an empty body, line or message, as a multiple of the timeout of one part
	bytesPerPart = 1 << 20 // number of bytes that extend the timeout by the timeout of one part
)

// TimeFor returns the timeout for receiving a whole body, line or message of size bytes. part is the
// timeout within which each part of the data must arrive (0: none). The result is six such timeouts, plus
// one more for each MiB of the size.
func TimeFor(size int64, part time.Duration) time.Duration {
	return part * time.Duration(minParts+size/bytesPerPart)
}
