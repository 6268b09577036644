package bench

import "slices"

// Tally is what was wrong with the events that subscribers got.
type Tally struct {
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Changed    int64 `json:"changed"`
}

func (t *Tally) add(o Tally) {
	t.Lost += o.Lost
	t.Duplicated += o.Duplicated
	t.Reordered += o.Reordered
	t.Changed += o.Changed
}

// Clean reports whether nothing was wrong.
func (t Tally) Clean() bool { return t == Tally{} }

// span is the events from first up to, without, end.
type span struct{ first, end uint32 }

// checker follows the events of one subscriber. Its zero value expects the stream from its
// beginning.
type checker struct {
	next    uint32 // number of the event that must come now
	missing []span // passed over; each may still come late
}

// take accounts for an event with a good checksum, and says how many places the subscriber has
// come forward.
func (c *checker) take(seq uint32, t *Tally) int64 {
	switch {
	case seq == c.next:
		c.next++
		return 1
	case seq > c.next:
		from := c.next
		c.missing = append(c.missing, span{from, seq})
		t.Lost += int64(seq - from)
		c.next = seq + 1
		return int64(c.next - from)
	}
	for i, m := range c.missing {
		if seq < m.first || seq >= m.end {
			continue
		}
		left := []span{{m.first, seq}, {seq + 1, m.end}}
		left = slices.DeleteFunc(left, func(s span) bool { return s.first == s.end })
		c.missing = slices.Replace(c.missing, i, i+1, left...)
		t.Lost--
		t.Reordered++
		return 0
	}
	t.Duplicated++
	return 0
}

// takeChanged accounts for an event that is not as it was published: which one it was cannot be
// known, so it stands for the one that had to come.
func (c *checker) takeChanged(t *Tally) int64 {
	t.Changed++
	c.next++
	return 1
}

// end accounts for what has not come of a stream of n events.
func (c *checker) end(n uint32, t *Tally) {
	if n > c.next {
		t.Lost += int64(n - c.next)
	}
}
