package hub

import (
	"strings"
	"sync"
)

// lossMark is the newest removal of some kind: its seq, and the latest time of an event up to it. The
// zero mark is none.
type lossMark struct {
	seq  uint64
	time int64 // nanoseconds since 1970
}

// lossMarks is a mark for each way of reading: by one that takes every event, and by one that
// conflates, to whom an event superseded by a later one of its topic and key is no loss.
type lossMarks [2]lossMark

func (n *lossMarks) of(conflate bool) lossMark {
	if conflate {
		return n[1]
	}
	return n[0]
}

func (n *lossMarks) none() bool { return n[0].seq == 0 }

func (n *lossMarks) record(m lossMark, superseded bool) {
	n[0] = m
	if !superseded {
		n[1] = m
	}
}

// topicNode is a token of a tree of topics, and what the window knows of the topic that ends there.
type topicNode struct {
	parent *topicNode
	token  string
	topic  string     // its name, if it has events or a loss
	inner  *innerNode // nil: no topic goes on from here

	log  *deque[*Event] // its retained events; nil: none
	lost lossMarks      // of its own; zero if nothing is remembered

	older, newer *topicNode // those with a loss, in its order
}

// innerNode is what a node has with topics further down: what it knows of all of them together, so
// that a search need not go where nothing is. That may tell of topics that are forgotten, and is
// as true as it was.
type innerNode struct {
	children map[string]*topicNode
	lastSeq  uint64 // seq of their newest event ever
	live     int    // of these topics, those with events
	lost     lossMarks
}

// lossSize and lossSlack bound the memory of the nodes that are there for losses alone, in bytes: so many
// for each topic of the limit, and some more. That is enough for topics of one token of their own. Those of
// several take more, so fewer of their losses are remembered.
const (
	lossSize  = 320
	lossSlack = 64 << 10
)

// topicTree knows the topics that have events in the window, and those that lost some: the last
// limit of them to do so. Since the window lets go of the oldest first, a loss is always newer
// than all before it, and the topic that is forgotten is the one whose loss is oldest.
type topicTree struct {
	limit       int                   // topics with a loss; static
	searchLimit int                   // static; maxSearch
	root        topicNode             // has an inner part always
	byName      map[string]*topicNode // those with events or a loss

	nodes          int   // of the tree, without the root
	inners         int   // of them, those with topics further down
	retained       int   // topics with events
	topicBytes     int64 // of the nodes of topics with events
	lossy          int   // topics with a loss
	oldest, newest *topicNode
	forgotten      lossMark // the newest loss that may have been forgotten

	suspendedMu sync.Mutex                   // readers that share the lock of the tree write walks
	suspended   map[*topicNode][]*lossSearch // searches between two pieces, by where they stand
}

func newTopicTree(limit int, floor uint64) topicTree {
	return topicTree{
		limit:       limit,
		searchLimit: maxTopicSearch,
		root:        topicNode{inner: &innerNode{children: make(map[string]*topicNode)}},
		byName:      make(map[string]*topicNode),
		forgotten:   lossMark{seq: floor},
	}
}

// push adds the newest event.
func (t *topicTree) push(e *Event) {
	if t.forgotten.time == 0 {
		t.forgotten.time = e.maxTime // what went before the first event was no later
	}
	n := t.nodeOf(e.Topic)
	if n.log == nil {
		n.log = new(deque[*Event])
		t.retained++
		t.countTopic(n, 1)
	}
	n.log.push(e)
	n.above(e.Topic, func(in *innerNode) { in.lastSeq = e.ID.Seq })
}

// nodeOf gives the topic's node.
func (t *topicTree) nodeOf(topic string) *topicNode {
	n := t.byName[topic]
	if n == nil {
		n = t.addNodes(topic)
		n.topic = topic
		t.byName[topic] = n
	}
	return n
}

// pop lets go of the oldest event, e, and remembers its loss.
func (t *topicTree) pop(e *Event) {
	n := t.byName[e.Topic]
	n.log.pop()
	if n.log.len() == 0 {
		t.retire(n)
	}
	t.recordLoss(n, e.Topic, lossMark{e.ID.Seq, e.maxTime}, e.superseded)
}

// retire notes that a topic has no events any more.
func (t *topicTree) retire(n *topicNode) {
	n.log = nil
	t.retained--
	t.countTopic(n, -1)
}

// Memory in bytes: of a topic's list and its part of byName, of a node and its part of its parent's children,
// and of an innerNode with the first memory of its map.
const (
	topicSize = 104
	nodeSize  = 152
	innerSize = 304
)

// countTopic adds a topic that got its first event to bytes, or with -1 takes one away that lost its last. A node
// counts while it is, or leads to, a topic with events.
func (t *topicTree) countTopic(n *topicNode, sign int64) {
	t.topicBytes += sign * topicSize
	if n.inner == nil || n.inner.live == 0 {
		t.topicBytes += sign * nodeSize
	}
	for p := n.parent; p != nil; p = p.parent {
		before := p.inner.live
		if p.inner.live += int(sign); before > 0 && p.inner.live > 0 {
			continue
		}
		t.topicBytes += sign * innerSize
		if p.log == nil {
			t.topicBytes += sign * nodeSize
		}
	}
}

// recordLoss remembers a loss of the topic, n's, newer than all before it.
func (t *topicTree) recordLoss(n *topicNode, topic string, m lossMark, superseded bool) {
	if n.lost.none() {
		t.lossy++
	} else {
		t.unlinkLoss(n)
	}
	n.lost.record(m, superseded)
	t.linkLoss(n)
	n.above(topic, func(in *innerNode) { in.lost.record(m, superseded) })
	for t.lossy > t.limit || t.lossy > 1 && t.lossBytes() > lossSize*int64(t.limit)+lossSlack {
		t.forgetLoss(t.oldest)
	}
}

// lossBytes returns the memory of the nodes that are there for losses alone.
func (t *topicTree) lossBytes() int64 {
	return int64(t.nodes)*nodeSize + int64(t.inners)*innerSize + int64(len(t.byName))*topicSize - t.topicBytes
}

// forgetLoss the loss of n, the oldest.
func (t *topicTree) forgetLoss(n *topicNode) {
	t.unlinkLoss(n)
	t.lossy--
	if n.lost[0].seq > t.forgotten.seq {
		t.forgotten = n.lost[0]
	}
	n.lost = lossMarks{}
	if n.log == nil {
		delete(t.byName, n.topic)
		n.topic = ""
		t.pruneNodes(n)
	}
}

func (t *topicTree) linkLoss(n *topicNode) {
	n.older, n.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = n
	} else {
		t.oldest = n
	}
	t.newest = n
}

func (t *topicTree) unlinkLoss(n *topicNode) {
	t.moveSearches(n)
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		t.oldest = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		t.newest = n.older
	}
}

// addNodes makes the nodes down to a topic.
func (t *topicTree) addNodes(topic string) *topicNode {
	n := &t.root
	for token := range strings.SplitSeq(topic, ".") {
		if n.inner == nil {
			n.inner = &innerNode{children: make(map[string]*topicNode)}
			t.inners++
		}
		child := n.inner.children[token]
		if child == nil {
			child = &topicNode{parent: n, token: token}
			n.inner.children[token] = child
			t.nodes++
		}
		n = child
	}
	return n
}

// pruneNodes takes away the nodes that stand for nothing any more, upwards.
func (t *topicTree) pruneNodes(n *topicNode) {
	for n.parent != nil && n.log == nil && n.lost.none() && n.inner == nil {
		siblings := n.parent.inner.children
		delete(siblings, n.token)
		t.nodes--
		n = n.parent
		if len(siblings) == 0 && n.parent != nil {
			n.inner = nil
			t.inners--
		}
	}
}

// above calls f for the nodes over n; for the root only if a wildcard as first token selects the
// topic.
func (n *topicNode) above(topic string, f func(*innerNode)) {
	for p := n.parent; p != nil; p = p.parent {
		if p.parent != nil || !strings.HasPrefix(topic, "$") {
			f(p.inner)
		}
	}
}
