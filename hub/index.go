package hub

import (
	"math"
	"slices"
)

// index finds the feeds that an event concerns. Each filter of a feed stands at one anchor: an exact
// filter at its topic, another at one of the tokens that it names, with the position, and of these at
// the one with the fewest others. The feeds at the anchors of a topic are then matched with it, each
// once and with all its filters together. So what many filters cost is bounded by the number of their
// feeds, whatever their wildcards.
//
// It is guarded by Hub.mu; deliver, which never runs twice at once, may gather while it reads.
type index struct {
	feeds []*feed  // by number; nil: free
	free  []uint32 // numbers
	// anchors has for each key the one place there, or the number of a list of places. Keys are hashes:
	// two anchors may share one.
	anchors map[uint32]uint64
	lists   [][]place
	unused  []uint32 // numbers of lists
	unnamed int      // feeds at the anchor anywhere
	round   uint64   // of gathering
}

// isList marks the value of an anchor that is the number of a list.
const isList = 1 << 63

// place is where a feed stands at an anchor: the feed's number, and the number of the anchor among the
// feed's. Both are below 2^31.
type place uint64

func placeOf(feed, anchor uint32) place { return place(feed)<<32 | place(anchor) }

func (p place) feed() uint32   { return uint32(p >> 32) }
func (p place) anchor() uint32 { return uint32(p) }

// anchor is where a feed is found.
type anchor struct {
	key  uint32
	slot uint32 // of the feed in the anchor's list
}

// anchorSize is the memory of one anchor in bytes, its part of the map included.
const anchorSize = 8 + 24

// anywhere is the anchor of filters that name no token.
const anywhere = 0

// maxChoice bounds the anchors that are looked at for one feed, beyond one for each filter.
const maxChoice = 1024

func newIndex() index { return index{anchors: make(map[uint32]uint64)} }

// tokenKey returns the key of a token's anchor.
func tokenKey(hash uint64, at int) uint32 {
	return nonzero((hash + uint64(at)*0x9e3779b97f4a7c15) >> 16)
}

// topicKey returns the key of an exact topic's anchor.
func topicKey(t *topicTokens) uint32 {
	sum := uint64(t.n)
	for at := range min(t.n, MaxTopicTokens) {
		sum = (sum ^ t.hash(at)) * 0x9e3779b97f4a7c15
		sum ^= sum >> 29
	}
	return nonzero(sum >> 8)
}

func nonzero(n uint64) uint32 { return max(1, uint32(n)) }

// add takes up a feed.
func (ix *index) add(f *feed) {
	if n := len(ix.free); n > 0 {
		f.number, ix.free = ix.free[n-1], ix.free[:n-1]
		ix.feeds[f.number] = f
	} else {
		f.number = uint32(len(ix.feeds))
		ix.feeds = append(ix.feeds, f)
	}
	f.anchors = make([]anchor, 0, f.set.Len())
	choice := max(1, maxChoice/f.set.Len())
	var t topicTokens
	for filter := range f.set.All() {
		t.split(filter.text)
		key := topicKey(&t)
		if !filter.Exact() {
			key = ix.choose(f, &t, choice)
		}
		ix.put(f, key)
	}
	ix.unnamed += unnamed(f)
}

// unnamed returns 1 for a feed with filters that name no token.
func unnamed(f *feed) int {
	if slices.ContainsFunc(f.anchors, func(a anchor) bool { return a.key == anywhere }) {
		return 1
	}
	return 0
}

// choose returns the key of the anchor with the fewest feeds, of at most so many that the filter has.
func (ix *index) choose(f *feed, t *topicTokens, choice int) uint32 {
	best, least := uint32(anywhere), -1
	for at := t.n - 1; at >= 0 && choice > 0; at-- {
		if t.tokens[at] == anyToken || t.tokens[at] == anyTail {
			continue
		}
		choice--
		key := tokenKey(t.hash(at), at)
		if n := ix.cost(f, key); least < 0 || n < least {
			best, least = key, n
		}
	}
	return best
}

// cost compares anchors for a feed: by the other feeds there, and of two with as many it prefers the one
// where the feed stands already.
func (ix *index) cost(f *feed, key uint32) int {
	v, some := ix.anchors[key]
	if !some {
		return 1
	}
	n, newest := 1, place(v)
	if v&isList != 0 {
		list := ix.lists[v&^isList]
		n, newest = len(list), list[len(list)-1]
	}
	if newest.feed() == f.number {
		return 2 * (n - 1)
	}
	return 2*n + 1
}

// put has the feed stand at an anchor, unless it does.
func (ix *index) put(f *feed, key uint32) {
	v, some := ix.anchors[key]
	p := placeOf(f.number, uint32(len(f.anchors)))
	switch {
	case !some:
		ix.anchors[key] = uint64(p)
		f.anchors = append(f.anchors, anchor{key, 0})
		return
	case v&isList == 0:
		if place(v).feed() == f.number {
			return
		}
		v = ix.newList() | isList
		ix.lists[v&^isList] = append(ix.lists[v&^isList], place(ix.anchors[key]))
		ix.anchors[key] = v
	}
	list := ix.lists[v&^isList]
	if list[len(list)-1].feed() == f.number {
		return
	}
	f.anchors = append(f.anchors, anchor{key, uint32(len(list))})
	ix.lists[v&^isList] = append(list, p)
}

func (ix *index) newList() uint64 {
	if n := len(ix.unused); n > 0 {
		number := ix.unused[n-1]
		ix.unused = ix.unused[:n-1]
		return uint64(number)
	}
	ix.lists = append(ix.lists, nil)
	return uint64(len(ix.lists) - 1)
}

// remove lets go of a feed.
func (ix *index) remove(f *feed) {
	ix.unnamed -= unnamed(f)
	for _, a := range f.anchors {
		ix.take(a)
	}
	f.anchors = nil
	ix.feeds[f.number] = nil
	ix.free = append(ix.free, f.number)
}

// take removes a place from its anchor, and puts the newest one there in its stead.
func (ix *index) take(a anchor) {
	v := ix.anchors[a.key]
	if v&isList == 0 {
		delete(ix.anchors, a.key)
		return
	}
	number := v &^ isList
	list := ix.lists[number]
	last := list[len(list)-1]
	list[a.slot] = last
	ix.feeds[last.feed()].anchors[last.anchor()].slot = a.slot
	list = list[:len(list)-1]
	if len(list) > 0 {
		ix.lists[number] = shrunk(list)
		return
	}
	delete(ix.anchors, a.key)
	ix.lists[number] = nil
	ix.unused = append(ix.unused, uint32(number))
}

// shrunk returns the list in less memory where it needs little of what it has.
func shrunk(list []place) []place {
	if cap(list) < 32 || len(list) > cap(list)/4 {
		return list
	}
	return append(make([]place, 0, 2*len(list)), list...)
}

// gathering is how far a search for the feeds of a topic has come. The zero gathering is at its beginning.
type gathering struct {
	begun bool
	at    int // the anchor, in the order of gather
	left  int // the places at that anchor that are left, the oldest; 0: all
}

// gather appends the feeds that may have a filter which selects the topic, each once, but for feeds that come
// between two pieces of a search. It does one piece, of as many places as it may look at, and reports whether
// that was the last. At most one search is under way.
func (ix *index) gather(dst []*feed, t *topicTokens, g *gathering, looks int) (_ []*feed, done bool) {
	if len(ix.anchors) == 0 {
		return dst, true
	}
	if !g.begun {
		g.begun = true
		ix.round++
		if ix.unnamed == 0 {
			g.at++
		}
	}
	for ; g.at < 2+min(t.n, MaxTopicTokens); g.at++ {
		key := uint32(anywhere)
		if at := g.at - 2; at >= 0 {
			key = tokenKey(t.hash(at), at)
		} else if at == -1 {
			key = topicKey(t)
		}
		v, some := ix.anchors[key]
		switch {
		case !some:
		case v&isList == 0:
			dst = ix.visit(dst, place(v))
		default:
			// From the newest on: where a place is removed, it is the newest that takes its slot.
			list := ix.lists[v&^isList]
			if g.left == 0 || g.left > len(list) {
				g.left = len(list)
			}
			for ; g.left > 0; g.left-- {
				if looks--; looks < 0 {
					return dst, false
				}
				dst = ix.visit(dst, list[g.left-1])
			}
		}
	}
	return dst, true
}

func (ix *index) visit(dst []*feed, p place) []*feed {
	f := ix.feeds[p.feed()]
	if f.visited == ix.round {
		return dst
	}
	f.visited = ix.round
	return append(dst, f)
}

// match appends the feeds with a filter that selects the topic.
func (ix *index) match(dst []*feed, topic string) []*feed {
	var t topicTokens
	t.split(topic)
	first := len(dst)
	dst, _ = ix.gather(dst, &t, new(gathering), math.MaxInt)
	kept := dst[:first]
	for _, f := range dst[first:] {
		if f.set.c.match(&t) {
			kept = append(kept, f)
		}
	}
	clear(dst[len(kept):])
	return kept
}

// empty reports whether nothing stands in the index.
func (ix *index) empty() bool {
	return len(ix.anchors) == 0 && len(ix.free) == len(ix.feeds) && len(ix.unused) == len(ix.lists)
}
