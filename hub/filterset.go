package hub

import (
	"iter"
	"slices"
	"strings"
)

// FilterSet is a set of filters in canonical form: sorted, without filters that another filter covers. It is immutable,
// and copies share its memory. Subscribers with equal sets share a subscription group.
type FilterSet struct{ c *compiled } // nil: no filters

// compiled holds the filters of a set and the masks that match them with topics. It is immutable.
type compiled struct {
	key    string      // the filters in order, each followed by a space
	ends   []uint32    // the end of each filter in key; the bit isWild is set if the filter has a wildcard
	blocks []maskBlock // 64 filters each; nil if there are no more than fewFilters
}

const isWild = 1 << 31

// fewFilters is the largest size of a set that needs no masks: its filters are compared with a topic
// one by one.
const fewFilters = 4

// NewFilterSet returns the canonical set of the filters. It keeps neither the slice nor the filters' strings. Its
// running time is nearly linear in the number of filters.
func NewFilterSet(filters ...Filter) FilterSet {
	sorted := slices.DeleteFunc(slices.Clone(filters), func(f Filter) bool { return f.text == "" })
	slices.SortFunc(sorted, func(a, b Filter) int { return strings.Compare(a.text, b.text) })
	sorted = slices.Compact(sorted)
	if len(sorted) == 0 {
		return FilterSet{}
	}
	c := compile(sorted)
	kept := make([]Filter, 0, len(sorted))
	for i, f := range sorted {
		if !c.covers(f, i) {
			kept = append(kept, f)
		}
	}
	if len(kept) < len(sorted) {
		c = compile(kept)
	}
	return FilterSet{c}
}

// compile returns the compiled set of filters, which must be sorted and distinct.
func compile(filters []Filter) *compiled {
	size := 0
	for _, f := range filters {
		size += len(f.text) + 1
	}
	c := &compiled{ends: make([]uint32, len(filters))}
	var key strings.Builder
	key.Grow(size)
	for i, f := range filters {
		key.WriteString(f.text)
		c.ends[i] = uint32(key.Len())
		if f.wild {
			c.ends[i] |= isWild
		}
		key.WriteByte(' ') // no filter has white space
	}
	c.key = key.String()
	if len(filters) <= fewFilters {
		return c
	}
	c.blocks = make([]maskBlock, 0, (len(filters)+blockFilters-1)/blockFilters)
	var scratch []uint64
	for part := range slices.Chunk(filters, blockFilters) {
		var b maskBlock
		b, scratch = newMaskBlock(part, scratch[:0])
		c.blocks = append(c.blocks, b)
	}
	return c
}

// at returns filter i.
func (c *compiled) at(i int) Filter {
	begin := uint32(0)
	if i > 0 {
		begin = c.ends[i-1]&^isWild + 1
	}
	return Filter{text: c.key[begin : c.ends[i]&^isWild], wild: c.ends[i]&isWild != 0}
}

// match reports whether one of the filters selects the topic.
func (c *compiled) match(t *topicTokens) bool {
	if c.blocks == nil {
		for i := range c.ends {
			if c.at(i).Match(t.text) {
				return true
			}
		}
		return false
	}
	for i := range c.blocks {
		for found := c.blocks[i].find(t); found != 0; found &= found - 1 {
			if c.at(i*blockFilters + lowest(found)).Match(t.text) {
				return true
			}
		}
	}
	return false
}

// covers reports whether a filter of the set covers f. The filter at index except is ignored.
func (c *compiled) covers(f Filter, except int) bool {
	if c.blocks == nil {
		for i := range c.ends {
			if i != except && c.at(i).Cover(f) {
				return true
			}
		}
		return false
	}
	var t topicTokens
	t.split(f.text) // f is treated as a topic, see the function covers
	for i := range c.blocks {
		for found := c.blocks[i].find(&t); found != 0; found &= found - 1 {
			if n := i*blockFilters + lowest(found); n != except && c.at(n).Cover(f) {
				return true
			}
		}
	}
	return false
}

// Key returns a string that identifies the set: two sets are equal if and only if their keys are
// equal.
func (s FilterSet) Key() string {
	if s.c == nil {
		return ""
	}
	return s.c.key
}

// Len returns the number of filters in the set.
func (s FilterSet) Len() int {
	if s.c == nil {
		return 0
	}
	return len(s.c.ends)
}

// All returns an iterator over the filters, in order.
func (s FilterSet) All() iter.Seq[Filter] {
	return func(yield func(Filter) bool) {
		for i := range s.Len() {
			if !yield(s.c.at(i)) {
				return
			}
		}
	}
}

// Filters returns the filters in a new, sorted slice.
func (s FilterSet) Filters() []Filter { return slices.AppendSeq(make([]Filter, 0, s.Len()), s.All()) }

// exact reports whether no filter has a wildcard.
func (s FilterSet) exact() bool {
	for f := range s.All() {
		if !f.Exact() {
			return false
		}
	}
	return true
}

// Equal reports whether both sets contain the same filters.
func (s FilterSet) Equal(other FilterSet) bool { return s.c == other.c || s.Key() == other.Key() }

// Match reports whether one of the filters selects the topic.
func (s FilterSet) Match(topic string) bool {
	var t topicTokens
	return s.match(&t, topic)
}

// match returns the result of Match. It uses the memory of scratch, which a loop over topics can reuse.
func (s FilterSet) match(scratch *topicTokens, topic string) bool {
	switch {
	case s.c == nil:
		return false
	case s.c.blocks == nil:
		scratch.text = topic
	default:
		scratch.split(topic)
	}
	return s.c.match(scratch)
}

// Cover reports whether a single filter of the set covers f. It returns false if only several filters of the
// set together cover f. Access rights are checked by this rule.
func (s FilterSet) Cover(f Filter) bool { return s.c != nil && f.text != "" && s.c.covers(f, -1) }

// Size returns the approximate memory of the set in bytes, including its entries in the hub's index.
func (s FilterSet) Size() int {
	if s.c == nil {
		return 0
	}
	size := compiledSize + len(s.c.key) + (4+anchorSize)*len(s.c.ends)
	for i := range s.c.blocks {
		size += s.c.blocks[i].size()
	}
	return size
}

const compiledSize = 64 // bytes of a struct compiled

// anchorSize is the memory of one anchor in bytes, including its entry in index.anchors.
const anchorSize = 8 + 24
