package hub

import (
	"slices"
	"strings"
)

// maxTopicSearch bounds the nodes that one search for all filters of a set looks at.
const maxTopicSearch = 1024

// topicSearch walks the topics that filters select. It gives up past its bound: wildcards before the
// last token may lead everywhere.
type topicSearch struct {
	remaining int // nodes to look at
	// enter says whether to look among the topics further down.
	enter func(*innerNode) bool
	// visitAll, if not nil, judges all topics further down at once where a last ">" selects them.
	visitAll func(*innerNode) bool
	// visit judges one topic. False from all or visit ends the search.
	visit func(*topicNode) bool
}

// descend goes on from n, which the filter's tokens so far have selected. It reports whether the
// search goes on.
func (s *topicSearch) descend(n *topicNode, filter string) bool {
	if n.inner == nil || !s.enter(n.inner) {
		return true
	}
	if s.remaining--; s.gaveUp() {
		return false
	}
	token, rest, more := strings.Cut(filter, ".")
	tail := token == anyTail && !more
	switch {
	case tail && s.visitAll != nil:
		return s.visitAll(n.inner)
	case !tail && token != anyToken:
		child := n.inner.children[token]
		return child == nil || s.visitChild(child, rest, more)
	}
	for name, child := range n.inner.children {
		if s.remaining--; s.gaveUp() {
			return false
		}
		if n.parent == nil && strings.HasPrefix(name, "$") {
			continue
		}
		if tail {
			if !s.visit(child) || !s.descend(child, anyTail) {
				return false
			}
		} else if !s.visitChild(child, rest, more) {
			return false
		}
	}
	return true
}

func (s *topicSearch) gaveUp() bool { return s.remaining < 0 }

// visitChild goes to a child that the filter's next token selects.
func (s *topicSearch) visitChild(child *topicNode, rest string, more bool) bool {
	if more {
		return s.descend(child, rest)
	}
	return s.visit(child)
}

// logs gives the retained events of the topics that the set selects and that have some after seq.
// ok is false if wildcards select more than maxMerge of these, or too many to look through.
func (t *topicTree) logs(set FilterSet, seq uint64) (logs []*deque[*Event], ok bool) {
	var wild []*deque[*Event] // a topic may be selected by several; an exact filter is covered by none
	search := topicSearch{
		remaining: t.searchLimit,
		enter:     func(in *innerNode) bool { return in.lastSeq > seq },
		visit: func(n *topicNode) bool {
			if n.log != nil && n.log.at(n.log.len()-1).ID.Seq > seq && !slices.Contains(wild, n.log) {
				wild = append(wild, n.log)
			}
			return len(wild) <= maxMerge
		},
	}
	for f := range set.All() {
		if !f.Exact() {
			search.descend(&t.root, f.text)
		} else if n := t.byName[f.text]; n != nil && n.log != nil && n.log.at(n.log.len()-1).ID.Seq > seq {
			logs = append(logs, n.log)
		}
		if len(wild) > maxMerge || search.gaveUp() {
			return nil, false
		}
	}
	return append(logs, wild...), true
}

// lossResult says whether something that a set selects was removed: certain means that it was, possible that
// it may have been and is forgotten; seq is of a removal that is to blame.
type lossResult struct {
	seq               uint64
	certain, possible bool
}

// lossSearch finds out whether something that a set selects was removed, piece after piece. Removals that
// come before its end count.
type lossSearch struct {
	set      FilterSet
	conflate bool
	// counts accepts the removals that count: a test by seq or by time that is true from some removal on,
	// and not of the zero mark.
	counts func(lossMark) bool
	after  uint64 // of a test by seq

	// of a search through all topics with a loss, from the newest

	begun                bool
	at                   *topicNode // the next one; nil: the oldest has been looked at
	startedAt, checkedTo uint64     // it began at the loss top, and all up to done were looked at before
}

// searchLosses does one piece of a search and reports whether it is the last.
func (t *topicTree) searchLosses(s *lossSearch, looks int) (v lossResult, over bool) {
	if !s.begun {
		if v, over = t.findLoss(s); over {
			return v, true
		}
		s.begun = true
		t.walkFrom(s, 0)
	} else {
		t.cancelSearch(s)
	}
	var scratch topicTokens
	for ; looks > 0; looks-- {
		n := s.at
		if n != nil && n.lost[0].seq > s.checkedTo && s.counts(n.lost[0]) {
			if m := n.lost.of(s.conflate); s.counts(m) && s.set.match(&scratch, n.topic) {
				return lossResult{m.seq, true, true}, true
			}
			s.at = n.older
			continue
		}
		if t.newest == nil || t.newest.lost[0].seq <= s.startedAt {
			return t.notFound(s), true
		}
		t.walkFrom(s, s.startedAt) // more were lost meanwhile
	}
	t.suspend(s)
	return lossResult{}, false
}

// walkFrom has a search begin at the newest loss, and end before those up to done.
func (t *topicTree) walkFrom(s *lossSearch, done uint64) {
	s.at, s.checkedTo = t.newest, done
	if s.at != nil {
		s.startedAt = s.at.lost[0].seq
	}
}

// suspend notes where a search stands until its next piece.
func (t *topicTree) suspend(s *lossSearch) {
	if s.at == nil {
		return
	}
	t.suspendedMu.Lock()
	defer t.suspendedMu.Unlock()
	if t.suspended == nil {
		t.suspended = make(map[*topicNode][]*lossSearch)
	}
	t.suspended[s.at] = append(t.suspended[s.at], s)
}

// cancelSearch ends the wait of a search, which may be nil or not wait.
func (t *topicTree) cancelSearch(s *lossSearch) {
	if s == nil || s.at == nil {
		return
	}
	t.suspendedMu.Lock()
	defer t.suspendedMu.Unlock()
	rest := slices.DeleteFunc(t.suspended[s.at], func(other *lossSearch) bool { return other == s })
	if len(rest) > 0 {
		t.suspended[s.at] = rest
	} else {
		delete(t.suspended, s.at)
	}
}

// moveSearches has the searches that stand at n go on with the next older loss. Nobody reads meanwhile.
func (t *topicTree) moveSearches(n *topicNode) {
	if len(t.suspended) == 0 {
		return
	}
	waiting := t.suspended[n]
	delete(t.suspended, n)
	for _, s := range waiting {
		s.at = n.older
	}
	if len(waiting) > 0 && n.older != nil {
		t.suspended[n.older] = append(t.suspended[n.older], waiting...)
	}
}

func (t *topicTree) notFound(s *lossSearch) lossResult {
	return lossResult{t.forgotten.seq, false, s.set.Len() > 0 && s.counts(t.forgotten)}
}

// findLoss looks where the filters lead. It gives up where they lead too far.
func (t *topicTree) findLoss(s *lossSearch) (v lossResult, over bool) {
	blame := func(m lossMark) bool {
		if s.counts(m) {
			v = lossResult{m.seq, true, true}
		}
		return !v.certain
	}
	search := topicSearch{
		remaining: t.searchLimit,
		enter:     func(in *innerNode) bool { return s.counts(in.lost.of(s.conflate)) },
		visitAll:  func(in *innerNode) bool { return blame(in.lost.of(s.conflate)) },
		visit:     func(n *topicNode) bool { return blame(n.lost.of(s.conflate)) },
	}
	for f := range s.set.All() {
		if n := t.byName[f.text]; f.Exact() && n != nil {
			search.visit(n)
		} else if !f.Exact() {
			search.descend(&t.root, f.text)
		}
		switch {
		case v.certain:
			return v, true
		case search.gaveUp():
			return lossResult{}, false
		}
	}
	return t.notFound(s), true
}
