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
	groups []*group // by number; nil: free
	free   []uint32 // numbers
	// anchors has for each key the one place there, or the number of a list of places. Keys are hashes:
	// two anchors may share one.
	anchors     map[uint32]uint64
	lists       [][]indexEntry
	unused      []uint32 // numbers of lists
	unanchored  int      // feeds at the anchor anywhere
	searchRound uint64   // of gathering
}

// isList marks the value of an anchor that is the number of a list.
const isList = 1 << 63

// indexEntry is where a feed stands at an anchor: the feed's number, and the number of the anchor among the
// feed's. Both are below 2^31.
type indexEntry uint64

func newIndexEntry(feed, anchor uint32) indexEntry { return indexEntry(feed)<<32 | indexEntry(anchor) }

func (p indexEntry) group() uint32  { return uint32(p >> 32) }
func (p indexEntry) anchor() uint32 { return uint32(p) }

// anchor is where a feed is found.
type anchor struct {
	key  uint32
	slot uint32 // of the feed in the anchor's list
}

// anchorSize is the memory of one anchor in bytes, its part of the map included.
const anchorSize = 8 + 24

// anywhere is the anchor of filters that name no token.
const anywhere = 0

// maxAnchorChoices bounds the anchors that are looked at for one feed, beyond one for each filter.
const maxAnchorChoices = 1024

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
func (ix *index) add(g *group) {
	if n := len(ix.free); n > 0 {
		g.number, ix.free = ix.free[n-1], ix.free[:n-1]
		ix.groups[g.number] = g
	} else {
		g.number = uint32(len(ix.groups))
		ix.groups = append(ix.groups, g)
	}
	g.anchors = make([]anchor, 0, g.set.Len())
	choice := max(1, maxAnchorChoices/g.set.Len())
	var t topicTokens
	for filter := range g.set.All() {
		t.split(filter.text)
		key := topicKey(&t)
		if !filter.Exact() {
			key = ix.chooseAnchor(g, &t, choice)
		}
		ix.addAnchor(g, key)
	}
	ix.unanchored += countUnanchored(g)
}

// countUnanchored returns 1 for a feed with filters that name no token.
func countUnanchored(g *group) int {
	if slices.ContainsFunc(g.anchors, func(a anchor) bool { return a.key == anywhere }) {
		return 1
	}
	return 0
}

// chooseAnchor returns the key of the anchor with the fewest feeds, of at most so many that the filter has.
func (ix *index) chooseAnchor(g *group, t *topicTokens, choice int) uint32 {
	best, least := uint32(anywhere), -1
	for at := t.n - 1; at >= 0 && choice > 0; at-- {
		if t.tokens[at] == anyToken || t.tokens[at] == anyTail {
			continue
		}
		choice--
		key := tokenKey(t.hash(at), at)
		if n := ix.cost(g, key); least < 0 || n < least {
			best, least = key, n
		}
	}
	return best
}

// cost compares anchors for a feed: by the other feeds there, and of two with as many it prefers the one
// where the feed stands already.
func (ix *index) cost(g *group, key uint32) int {
	v, some := ix.anchors[key]
	if !some {
		return 1
	}
	n, newest := 1, indexEntry(v)
	if v&isList != 0 {
		list := ix.lists[v&^isList]
		n, newest = len(list), list[len(list)-1]
	}
	if newest.group() == g.number {
		return 2 * (n - 1)
	}
	return 2*n + 1
}

// addAnchor has the feed stand at an anchor, unless it does.
func (ix *index) addAnchor(g *group, key uint32) {
	v, some := ix.anchors[key]
	p := newIndexEntry(g.number, uint32(len(g.anchors)))
	switch {
	case !some:
		ix.anchors[key] = uint64(p)
		g.anchors = append(g.anchors, anchor{key, 0})
		return
	case v&isList == 0:
		if indexEntry(v).group() == g.number {
			return
		}
		v = ix.newList() | isList
		ix.lists[v&^isList] = append(ix.lists[v&^isList], indexEntry(ix.anchors[key]))
		ix.anchors[key] = v
	}
	list := ix.lists[v&^isList]
	if list[len(list)-1].group() == g.number {
		return
	}
	g.anchors = append(g.anchors, anchor{key, uint32(len(list))})
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
func (ix *index) remove(g *group) {
	ix.unanchored -= countUnanchored(g)
	for _, a := range g.anchors {
		ix.removeEntry(a)
	}
	g.anchors = nil
	ix.groups[g.number] = nil
	ix.free = append(ix.free, g.number)
}

// removeEntry removes a place from its anchor, and puts the newest one there in its stead.
func (ix *index) removeEntry(a anchor) {
	v := ix.anchors[a.key]
	if v&isList == 0 {
		delete(ix.anchors, a.key)
		return
	}
	number := v &^ isList
	list := ix.lists[number]
	last := list[len(list)-1]
	list[a.slot] = last
	ix.groups[last.group()].anchors[last.anchor()].slot = a.slot
	list = list[:len(list)-1]
	if len(list) > 0 {
		ix.lists[number] = shrinkList(list)
		return
	}
	delete(ix.anchors, a.key)
	ix.lists[number] = nil
	ix.unused = append(ix.unused, uint32(number))
}

// shrinkList returns the list in less memory where it needs little of what it has.
func shrinkList(list []indexEntry) []indexEntry {
	if cap(list) < 32 || len(list) > cap(list)/4 {
		return list
	}
	return append(make([]indexEntry, 0, 2*len(list)), list...)
}

// gatherState is how far a search for the feeds of a topic has come. The zero gathering is at its beginning.
type gatherState struct {
	begun     bool
	at        int // the anchor, in the order of gather
	remaining int // the places at that anchor that are left, the oldest; 0: all
}

// gather appends the feeds that may have a filter which selects the topic, each once, but for feeds that come
// between two pieces of a search. It does one piece, of as many places as it may look at, and reports whether
// that was the last. At most one search is under way.
func (ix *index) gather(dst []*group, t *topicTokens, state *gatherState, looks int) (_ []*group, done bool) {
	if len(ix.anchors) == 0 {
		return dst, true
	}
	if !state.begun {
		state.begun = true
		ix.searchRound++
		if ix.unanchored == 0 {
			state.at++
		}
	}
	for ; state.at < 2+min(t.n, MaxTopicTokens); state.at++ {
		key := uint32(anywhere)
		if at := state.at - 2; at >= 0 {
			key = tokenKey(t.hash(at), at)
		} else if at == -1 {
			key = topicKey(t)
		}
		v, some := ix.anchors[key]
		switch {
		case !some:
		case v&isList == 0:
			dst = ix.visit(dst, indexEntry(v))
		default:
			// From the newest on: where a place is removed, it is the newest that takes its slot.
			list := ix.lists[v&^isList]
			if state.remaining == 0 || state.remaining > len(list) {
				state.remaining = len(list)
			}
			for ; state.remaining > 0; state.remaining-- {
				if looks--; looks < 0 {
					return dst, false
				}
				dst = ix.visit(dst, list[state.remaining-1])
			}
		}
	}
	return dst, true
}

func (ix *index) visit(dst []*group, p indexEntry) []*group {
	g := ix.groups[p.group()]
	if g.visitedRound == ix.searchRound {
		return dst
	}
	g.visitedRound = ix.searchRound
	return append(dst, g)
}

// match appends the feeds with a filter that selects the topic.
func (ix *index) match(dst []*group, topic string) []*group {
	var t topicTokens
	t.split(topic)
	first := len(dst)
	dst, _ = ix.gather(dst, &t, new(gatherState), math.MaxInt)
	kept := dst[:first]
	for _, g := range dst[first:] {
		if g.set.c.match(&t) {
			kept = append(kept, g)
		}
	}
	clear(dst[len(kept):])
	return kept
}

// empty reports whether nothing stands in the index.
func (ix *index) empty() bool {
	return len(ix.anchors) == 0 && len(ix.free) == len(ix.groups) && len(ix.unused) == len(ix.lists)
}
