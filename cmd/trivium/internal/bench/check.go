package bench

import "slices"

// Tally counts the delivery errors of a measurement, by kind.
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

// Clean reports whether there were no errors.
func (t Tally) Clean() bool { return t == Tally{} }

// span is the range of events [first, end).
type span struct{ first, end uint32 }

// checker checks the sequence of events that one subscriber receives. The zero value expects event
// 0 first.
type checker struct {
	next    uint32 // number of the next event
	missing []span // ranges of skipped events, which may still arrive late
}

// account records that an event with a valid checksum has arrived. It returns the number of events,
// including skipped events, by which the subscriber's position has advanced.
func (c *checker) account(seq uint32, t *Tally) int64 {
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

// accountCorrupt records that an event with an invalid checksum has arrived. Because its number is
// unknown, it counts as the next expected event.
func (c *checker) accountCorrupt(t *Tally) int64 {
	t.Changed++
	c.next++
	return 1
}

// accountMissing is called at the end of a stream of n events. It adds to t.Lost the number of events that
// follow the last received event in the stream.
func (c *checker) accountMissing(n uint32, t *Tally) {
	if n > c.next {
		t.Lost += int64(n - c.next)
	}
}
