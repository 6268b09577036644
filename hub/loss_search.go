package hub

import (
	"slices"
	"strings"
)

// maxTopicSearch is the maximum number of nodes that one search visits for all filters of a set.
const maxTopicSearch = 1024

// topicSearch visits the topics that filters select. It gives up after a limited number of nodes,
// because wildcards before the last token may select any number of topics.
type topicSearch struct {
	remaining int // number of nodes that may still be visited
	// enter reports whether the topics below a node must be visited.
	enter func(*innerNode) bool
	// visitAll, if not nil, is called once for all topics that a ">" selects below a node. Otherwise
	// visit is called for each of them.
	visitAll func(*innerNode) bool
	// visit is called for each selected topic. If visit or visitAll returns false, the search ends.
	visit func(*topicNode) bool
}

// descend continues the search below n with the rest of the filter. It returns false when the search has ended.
func (s *topicSearch) descend(n *topicNode, filter string) bool {
	if n.inner == nil || !s.enter(n.inner) {
		return true
	}
	if s.remaining--; s.gaveUp() {
		return false
	}
	token, rest, more := cutToken(filter)
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

// visitChild continues the search at a child that the filter's current token selects.
func (s *topicSearch) visitChild(child *topicNode, rest string, more bool) bool {
	if more {
		return s.descend(child, rest)
	}
	return s.visit(child)
}

// logs returns the logs of the topics that the set selects, except topics without events after seq. ok is false if
// wildcards select more than maxMerge topics or the search gave up.
func (t *topicTree) logs(set FilterSet, seq uint64) (logs []*deque[*Event], ok bool) {
	var wild []*deque[*Event] // checked for duplicates, because several wildcard filters may select the same topic
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

// lossKind states whether an event that matches a set was lost.
type lossKind uint8

const (
	noLoss       lossKind = iota
	possibleLoss          // an event whose topic is no longer recorded was removed
	certainLoss
)

// lossResult is the result of a lossSearch.
type lossResult struct {
	kind lossKind
	seq  uint64 // seq of the lost event, or of the newest removed event that may match
}

// lossSearch is a search for removed events that match a set. Each call of searchLosses does one piece of it.
// The search also finds events that are removed while it runs.
type lossSearch struct {
	set      FilterSet
	conflate bool
	// counts reports whether a loss is recent enough, by seq or by time. If it returns true for a loss,
	// it must return true for all newer losses. For the zero lossMark, it must return false.
	counts func(lossMark) bool
	after  uint64 // used if counts compares the seq

	// These fields are used when all topics with losses are visited, from the newest loss to the
	// oldest.

	begun                bool
	next                 *topicNode // the next topic to visit; nil: all were visited
	startedAt, checkedTo uint64     // the current walk began at the loss startedAt; earlier walks have visited the losses up to checkedTo
}

// searchLosses does one piece of a search; done reports whether the search is complete. The search first visits the
// topics that the filters select. If there are too many, it visits all topics with losses instead.
func (t *topicTree) searchLosses(s *lossSearch, visits int) (v lossResult, done bool) {
	if !s.begun {
		if v, done = t.findLoss(s); done {
			return v, true
		}
		s.begun = true
		t.startWalk(s, 0)
	} else {
		t.cancelSearch(s)
	}
	var scratch topicTokens
	for ; visits > 0; visits-- {
		n := s.next
		if n != nil && n.lost[0].seq > s.checkedTo && s.counts(n.lost[0]) {
			if m := n.lost.of(s.conflate); s.counts(m) && s.set.match(&scratch, n.topic) {
				return lossResult{certainLoss, m.seq}, true
			}
			s.next = n.older
			continue
		}
		if t.newest == nil || t.newest.lost[0].seq <= s.startedAt {
			return t.notFound(s), true
		}
		t.startWalk(s, s.startedAt) // more losses were recorded since the walk began
	}
	t.suspend(s)
	return lossResult{}, false
}

// startWalk starts a walk at the newest loss. The walk ends at the first loss whose seq is checkedTo or
// lower.
func (t *topicTree) startWalk(s *lossSearch, checkedTo uint64) {
	s.next, s.checkedTo = t.newest, checkedTo
	if s.next != nil {
		s.startedAt = s.next.lost[0].seq
	}
}

// suspend registers the search at the topic that its next piece will visit first. If that topic's loss is
// unlinked in the meantime, moveSearches moves the search to another topic.
func (t *topicTree) suspend(s *lossSearch) {
	if s.next == nil {
		return
	}
	t.suspendedMu.Lock()
	defer t.suspendedMu.Unlock()
	if t.suspended == nil {
		t.suspended = make(map[*topicNode][]*lossSearch)
	}
	t.suspended[s.next] = append(t.suspended[s.next], s)
}

// cancelSearch removes the registration of a search, if there is one. s may be nil.
func (t *topicTree) cancelSearch(s *lossSearch) {
	if s == nil || s.next == nil {
		return
	}
	t.suspendedMu.Lock()
	defer t.suspendedMu.Unlock()
	rest := slices.DeleteFunc(t.suspended[s.next], func(other *lossSearch) bool { return other == s })
	if len(rest) > 0 {
		t.suspended[s.next] = rest
	} else {
		delete(t.suspended, s.next)
	}
}

// moveSearches moves the searches registered at n to the topic with the next older loss. The caller must hold the
// write lock of the tree.
func (t *topicTree) moveSearches(n *topicNode) {
	if len(t.suspended) == 0 {
		return
	}
	waiting := t.suspended[n]
	delete(t.suspended, n)
	for _, s := range waiting {
		s.next = n.older
	}
	if len(waiting) > 0 && n.older != nil {
		t.suspended[n.older] = append(t.suspended[n.older], waiting...)
	}
}

// notFound returns the result of a search that has visited all recorded losses.
func (t *topicTree) notFound(s *lossSearch) lossResult {
	if s.set.Len() > 0 && s.counts(t.forgotten) {
		return lossResult{possibleLoss, t.forgotten.seq}
	}
	return lossResult{}
}

// findLoss visits the topics that the filters select. done is false if the search gave up.
func (t *topicTree) findLoss(s *lossSearch) (v lossResult, done bool) {
	report := func(m lossMark) bool {
		if s.counts(m) {
			v = lossResult{certainLoss, m.seq}
		}
		return v.kind != certainLoss
	}
	search := topicSearch{
		remaining: t.searchLimit,
		enter:     func(in *innerNode) bool { return s.counts(in.lost.of(s.conflate)) },
		visitAll:  func(in *innerNode) bool { return report(in.lost.of(s.conflate)) },
		visit:     func(n *topicNode) bool { return report(n.lost.of(s.conflate)) },
	}
	for f := range s.set.All() {
		if n := t.byName[f.text]; f.Exact() && n != nil {
			search.visit(n)
		} else if !f.Exact() {
			search.descend(&t.root, f.text)
		}
		switch {
		case v.kind == certainLoss:
			return v, true
		case search.gaveUp():
			return lossResult{}, false
		}
	}
	return t.notFound(s), true
}
