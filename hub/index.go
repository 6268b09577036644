package hub

import (
	"math"
)

// index finds the groups that an event may match. Each filter of a group has one anchor. The anchor of
// a filter without wildcards is its topic. The anchor of a filter with wildcards is one of its tokens
// together with the token's position. The index chooses the token whose anchor has the fewest groups.
//
// For a topic, the index finds the groups at the topic's anchors. Each group is then matched with the topic
// once, with all its filters together. The cost of a search is therefore limited by the number of groups,
// however many filters and wildcards they have.
//
// The index is guarded by Hub.mu. Calls of deliver do not overlap, so deliver may call gather, which
// changes the index, while it holds only a read lock.
type index struct {
	groups []*group // groups by number; nil: the number is unused
	free   []uint32 // unused numbers
	// anchors maps the key of an anchor to its entry, if it has only one, or to the number of its list in
	// lists; see isList. Keys are hashes, so two anchors may share a key.
	anchors map[uint32]uint64
	lists   [][]indexEntry
	unused  []uint32 // unused numbers of lists
	// kindCounts counts the anchors of all groups by kind. A search skips the kinds without anchors.
	kindCounts  [anchorKinds]int
	searchRound uint64 // number of the newest search by gather
}

// isList is a bit of the values of index.anchors. If it is set, the value is the number of a list.
const isList = 1 << 63

// indexEntry represents a group at an anchor: the number of the group and the index of the anchor in group.anchors.
// Both are below 2^31.
type indexEntry uint64

func newIndexEntry(number, anchor uint32) indexEntry {
	return indexEntry(number)<<32 | indexEntry(anchor)
}

func (p indexEntry) group() uint32  { return uint32(p >> 32) }
func (p indexEntry) anchor() uint32 { return uint32(p) }

// anchor is one of the anchors of a group. The low bits of its key are the kind of the anchor. The other bits
// are a hash.
type anchor struct {
	key  uint32
	slot uint32 // index of the group's entry in the list of entries
}

// Kinds of anchors. A kind below MaxTopicTokens is the position of a token.
const (
	exactTopic  = MaxTopicTokens + iota
	anywhere    // filters that have only wildcards; also the key of the only anchor of this kind
	anchorKinds // the number of kinds

	kindBits = 5
)

func anchorKind(key uint32) uint32 { return key & (1<<kindBits - 1) }

func anchorKey(hash uint64, kind int) uint32 { return uint32(hash)<<kindBits | uint32(kind) }

// maxAnchorChoices limits how many anchors are compared for all filters of one group together. For each filter, at
// least one anchor is considered.
const maxAnchorChoices = 1024

func newIndex() index { return index{anchors: make(map[uint32]uint64)} }

// tokenKey returns the anchor key for a token with the given hash at the given position.
func tokenKey(hash uint64, at int) uint32 {
	return anchorKey(hash>>16, at)
}

// topicKey returns the anchor key for a filter without wildcards.
func topicKey(t *topicTokens) uint32 {
	sum := uint64(t.n)
	for at := range min(t.n, MaxTopicTokens) {
		sum = (sum ^ t.hash(at)) * 0x9e3779b97f4a7c15
		sum ^= sum >> 29
	}
	return anchorKey(sum>>8, exactTopic)
}

// add adds a group.
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
	for _, a := range g.anchors {
		ix.kindCounts[anchorKind(a.key)]++
	}
}

// chooseAnchor returns the key of the filter's anchor with the fewest groups. It compares at most limit
// anchors.
func (ix *index) chooseAnchor(g *group, t *topicTokens, limit int) uint32 {
	best, least := uint32(anywhere), -1
	for at := t.n - 1; at >= 0 && limit > 0; at-- {
		if t.tokens[at] == anyToken || t.tokens[at] == anyTail {
			continue
		}
		limit--
		key := tokenKey(t.hash(at), at)
		if n := ix.cost(g, key); least < 0 || n < least {
			best, least = key, n
		}
	}
	return best
}

// cost returns the cost of an anchor for a group. It grows with the number of groups at the anchor, and
// is lower if the group itself is already one of them.
func (ix *index) cost(g *group, key uint32) int {
	v, ok := ix.anchors[key]
	if !ok {
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

// addAnchor adds an entry for the group at the anchor with the given key, unless the group already has
// one there.
func (ix *index) addAnchor(g *group, key uint32) {
	v, ok := ix.anchors[key]
	p := newIndexEntry(g.number, uint32(len(g.anchors)))
	switch {
	case !ok:
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

// remove removes a group.
func (ix *index) remove(g *group) {
	for _, a := range g.anchors {
		ix.kindCounts[anchorKind(a.key)]--
		ix.removeEntry(a)
	}
	g.anchors = nil
	ix.groups[g.number] = nil
	ix.free = append(ix.free, g.number)
}

// removeEntry removes a group's entry from an anchor. The last entry of the list takes its place.
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

// shrinkList returns the list, reallocated if most of its capacity is unused.
func shrinkList(list []indexEntry) []indexEntry {
	if cap(list) < 32 || len(list) > cap(list)/4 {
		return list
	}
	return append(make([]indexEntry, 0, 2*len(list)), list...)
}

// gatherState is the state of a search by gather. The zero value begins a search.
type gatherState struct {
	begun     bool
	kind      int // kind of the current anchor
	remaining int // number of entries of the current anchor that have not been visited; 0: none has been visited
}

// gather appends to dst the groups that may match the topic, each once. One call does one piece of the
// search. The parameter visits limits the number of list entries that the call visits. done reports whether
// the search is complete. Groups that are added between two pieces may be missing. Only one search may run at
// a time.
func (ix *index) gather(dst []*group, t *topicTokens, state *gatherState, visits int) (_ []*group, done bool) {
	if len(ix.anchors) == 0 {
		return dst, true
	}
	if !state.begun {
		state.begun = true
		ix.searchRound++
	}
	for ; state.kind < anchorKinds; state.kind++ {
		if ix.kindCounts[state.kind] == 0 || state.kind < MaxTopicTokens && state.kind >= t.n {
			continue
		}
		v, ok := ix.anchors[state.key(t)]
		switch {
		case !ok:
		case v&isList == 0:
			dst = ix.visit(dst, indexEntry(v))
		default:
			// The list is visited from the end. If an entry is removed between two pieces, removeEntry
			// moves the last entry into its place. The last entry has already been visited, so the
			// search misses none.
			list := ix.lists[v&^isList]
			if state.remaining == 0 || state.remaining > len(list) {
				state.remaining = len(list)
			}
			for ; state.remaining > 0; state.remaining-- {
				if visits--; visits < 0 {
					return dst, false
				}
				dst = ix.visit(dst, list[state.remaining-1])
			}
		}
	}
	return dst, true
}

// key returns the key of the topic's anchor whose kind is state.kind.
func (state *gatherState) key(t *topicTokens) uint32 {
	switch state.kind {
	case exactTopic:
		return topicKey(t)
	case anywhere:
		return anywhere
	default:
		return tokenKey(t.hash(state.kind), state.kind)
	}
}

func (ix *index) visit(dst []*group, p indexEntry) []*group {
	g := ix.groups[p.group()]
	if g.visitedRound == ix.searchRound {
		return dst
	}
	g.visitedRound = ix.searchRound
	return append(dst, g)
}

// match appends the groups that match the topic to dst.
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

// empty reports whether the index has no anchors, no groups and no lists.
func (ix *index) empty() bool {
	return len(ix.anchors) == 0 && len(ix.free) == len(ix.groups) && len(ix.unused) == len(ix.lists)
}
