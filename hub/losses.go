package hub

import (
	"slices"
	"strings"
)

// maxSearch bounds the nodes that one search for all filters of a set looks at.
const maxSearch = 1024

// search walks the topics that filters select. It gives up past its bound: wildcards before the
// last token may lead everywhere.
type search struct {
	left int // nodes to look at
	// enter says whether to look among the topics further down.
	enter func(*innerNode) bool
	// all, if not nil, judges all topics further down at once where a last ">" selects them.
	all func(*innerNode) bool
	// visit judges one topic. False from all or visit ends the search.
	visit func(*topicNode) bool
}

// below goes on from n, which the filter's tokens so far have selected. It reports whether the
// search goes on.
func (s *search) below(n *topicNode, filter string) bool {
	if n.inner == nil || !s.enter(n.inner) {
		return true
	}
	if s.left--; s.gaveUp() {
		return false
	}
	token, rest, more := strings.Cut(filter, ".")
	tail := token == anyTail && !more
	switch {
	case tail && s.all != nil:
		return s.all(n.inner)
	case !tail && token != anyToken:
		child := n.inner.children[token]
		return child == nil || s.step(child, rest, more)
	}
	for name, child := range n.inner.children {
		if s.left--; s.gaveUp() {
			return false
		}
		if n.parent == nil && strings.HasPrefix(name, "$") {
			continue
		}
		if tail {
			if !s.visit(child) || !s.below(child, anyTail) {
				return false
			}
		} else if !s.step(child, rest, more) {
			return false
		}
	}
	return true
}

func (s *search) gaveUp() bool { return s.left < 0 }

// step goes to a child that the filter's next token selects.
func (s *search) step(child *topicNode, rest string, more bool) bool {
	if more {
		return s.below(child, rest)
	}
	return s.visit(child)
}

// logs gives the retained events of the topics that the set selects and that have some after seq.
// ok is false if wildcards select more than maxMerge of these, or too many to look through.
func (t *topicTree) logs(set FilterSet, seq uint64) (logs []*deque[*Event], ok bool) {
	var wild []*deque[*Event] // a topic may be selected by several; an exact filter is covered by none
	search := search{
		left:  t.reach,
		enter: func(in *innerNode) bool { return in.head > seq },
		visit: func(n *topicNode) bool {
			if n.log != nil && n.log.at(n.log.len()-1).ID.Seq > seq && !slices.Contains(wild, n.log) {
				wild = append(wild, n.log)
			}
			return len(wild) <= maxMerge
		},
	}
	for f := range set.All() {
		if !f.Exact() {
			search.below(&t.root, f.text)
		} else if n := t.byName[f.text]; n != nil && n.log != nil && n.log.at(n.log.len()-1).ID.Seq > seq {
			logs = append(logs, n.log)
		}
		if len(wild) > maxMerge || search.gaveUp() {
			return nil, false
		}
	}
	return append(logs, wild...), true
}

// verdict says whether something that a set selects was removed: certain means that it was, possible that
// it may have been and is forgotten; seq is of a removal that is to blame.
type verdict struct {
	seq               uint64
	certain, possible bool
}

// lossSearch finds out whether something that a set selects was removed, piece after piece. Removals that
// come before its end count.
type lossSearch struct {
	set      FilterSet
	conflate bool
	// late accepts the removals that count: a test by seq or by time that is true from some removal on,
	// and not of the zero mark.
	late  func(mark) bool
	after uint64 // of a test by seq

	// of a search through all topics with a loss, from the newest

	begun     bool
	at        *topicNode // the next one; nil: the oldest has been looked at
	top, done uint64     // it began at the loss top, and all up to done were looked at before
}

// searchLosses does one piece of a search and reports whether it is the last.
func (t *topicTree) searchLosses(s *lossSearch, looks int) (v verdict, over bool) {
	if !s.begun {
		if v, over = t.findLoss(s); over {
			return v, true
		}
		s.begun = true
		t.walkFrom(s, 0)
	} else {
		t.cancel(s)
	}
	var scratch topicTokens
	for ; looks > 0; looks-- {
		n := s.at
		if n != nil && n.lost[0].seq > s.done && s.late(n.lost[0]) {
			if m := n.lost.of(s.conflate); s.late(m) && s.set.match(&scratch, n.topic) {
				return verdict{m.seq, true, true}, true
			}
			s.at = n.older
			continue
		}
		if t.newest == nil || t.newest.lost[0].seq <= s.top {
			return t.notFound(s), true
		}
		t.walkFrom(s, s.top) // more were lost meanwhile
	}
	t.wait(s)
	return verdict{}, false
}

// walkFrom has a search begin at the newest loss, and end before those up to done.
func (t *topicTree) walkFrom(s *lossSearch, done uint64) {
	s.at, s.done = t.newest, done
	if s.at != nil {
		s.top = s.at.lost[0].seq
	}
}

// wait notes where a search stands until its next piece.
func (t *topicTree) wait(s *lossSearch) {
	if s.at == nil {
		return
	}
	t.walking.Lock()
	defer t.walking.Unlock()
	if t.walks == nil {
		t.walks = make(map[*topicNode][]*lossSearch)
	}
	t.walks[s.at] = append(t.walks[s.at], s)
}

// cancel ends the wait of a search, which may be nil or not wait.
func (t *topicTree) cancel(s *lossSearch) {
	if s == nil || s.at == nil {
		return
	}
	t.walking.Lock()
	defer t.walking.Unlock()
	rest := slices.DeleteFunc(t.walks[s.at], func(other *lossSearch) bool { return other == s })
	if len(rest) > 0 {
		t.walks[s.at] = rest
	} else {
		delete(t.walks, s.at)
	}
}

// leave has the searches that stand at n go on with the next older loss. Nobody reads meanwhile.
func (t *topicTree) leave(n *topicNode) {
	if len(t.walks) == 0 {
		return
	}
	waiting := t.walks[n]
	delete(t.walks, n)
	for _, s := range waiting {
		s.at = n.older
	}
	if len(waiting) > 0 && n.older != nil {
		t.walks[n.older] = append(t.walks[n.older], waiting...)
	}
}

func (t *topicTree) notFound(s *lossSearch) verdict {
	return verdict{t.forgotten.seq, false, s.set.Len() > 0 && s.late(t.forgotten)}
}

// findLoss looks where the filters lead. It gives up where they lead too far.
func (t *topicTree) findLoss(s *lossSearch) (v verdict, over bool) {
	blame := func(m mark) bool {
		if s.late(m) {
			v = verdict{m.seq, true, true}
		}
		return !v.certain
	}
	search := search{
		left:  t.reach,
		enter: func(in *innerNode) bool { return s.late(in.lost.of(s.conflate)) },
		all:   func(in *innerNode) bool { return blame(in.lost.of(s.conflate)) },
		visit: func(n *topicNode) bool { return blame(n.lost.of(s.conflate)) },
	}
	for f := range s.set.All() {
		if n := t.byName[f.text]; f.Exact() && n != nil {
			search.visit(n)
		} else if !f.Exact() {
			search.below(&t.root, f.text)
		}
		switch {
		case v.certain:
			return v, true
		case search.gaveUp():
			return verdict{}, false
		}
	}
	return t.notFound(s), true
}
