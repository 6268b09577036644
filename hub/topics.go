package hub

import (
	"strings"
	"sync"
)

// mark is the newest removal of some kind: its seq, and the latest time of an event up to it. The
// zero mark is none.
type mark struct {
	seq uint64
	at  int64 // nanoseconds since 1970
}

// newest is a mark for each way of reading: by one that takes every event, and by one that
// conflates, to whom an event superseded by a later one of its topic and key is no loss.
type newest [2]mark

func (n *newest) of(conflate bool) mark {
	if conflate {
		return n[1]
	}
	return n[0]
}

func (n *newest) none() bool { return n[0].seq == 0 }

func (n *newest) note(m mark, superseded bool) {
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
	lost newest         // of its own; zero if nothing is remembered

	older, newer *topicNode // those with a loss, in its order
}

// innerNode is what a node has with topics further down: what it knows of all of them together, so
// that a search need not go where nothing is. That may tell of topics that are forgotten, and is
// as true as it was.
type innerNode struct {
	children map[string]*topicNode
	head     uint64 // seq of their newest event ever
	live     int    // of these topics, those with events
	lost     newest
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
	limit  int                   // topics with a loss; static
	reach  int                   // static; maxSearch
	root   topicNode             // has an inner part always
	byName map[string]*topicNode // those with events or a loss

	nodes          int   // of the tree, without the root
	inners         int   // of them, those with topics further down
	retained       int   // topics with events
	bytes          int64 // of the nodes of topics with events
	lossy          int   // topics with a loss
	oldest, newest *topicNode
	forgotten      mark // the newest loss that may have been forgotten

	walking sync.Mutex                   // readers that share the lock of the tree write walks
	walks   map[*topicNode][]*lossSearch // searches between two pieces, by where they stand
}

func newTopicTree(limit int, floor uint64) topicTree {
	return topicTree{
		limit:     limit,
		reach:     maxSearch,
		root:      topicNode{inner: &innerNode{children: make(map[string]*topicNode)}},
		byName:    make(map[string]*topicNode),
		forgotten: mark{seq: floor},
	}
}

// push adds the newest event.
func (t *topicTree) push(e *Event) {
	if t.forgotten.at == 0 {
		t.forgotten.at = e.order // what went before the first event was no later
	}
	n := t.at(e.Topic)
	if n.log == nil {
		n.log = new(deque[*Event])
		t.retained++
		t.count(n, 1)
	}
	n.log.push(e)
	n.above(e.Topic, func(in *innerNode) { in.head = e.ID.Seq })
}

// at gives the topic's node.
func (t *topicTree) at(topic string) *topicNode {
	n := t.byName[topic]
	if n == nil {
		n = t.grow(topic)
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
	t.lose(n, e.Topic, mark{e.ID.Seq, e.order}, e.superseded)
}

// retire notes that a topic has no events any more.
func (t *topicTree) retire(n *topicNode) {
	n.log = nil
	t.retained--
	t.count(n, -1)
}

// Memory in bytes: of a topic's list and its part of byName, of a node and its part of its parent's children,
// and of an innerNode with the first memory of its map.
const (
	topicSize = 104
	nodeSize  = 152
	innerSize = 304
)

// count adds a topic that got its first event to bytes, or with -1 takes one away that lost its last. A node
// counts while it is, or leads to, a topic with events.
func (t *topicTree) count(n *topicNode, sign int64) {
	t.bytes += sign * topicSize
	if n.inner == nil || n.inner.live == 0 {
		t.bytes += sign * nodeSize
	}
	for p := n.parent; p != nil; p = p.parent {
		before := p.inner.live
		if p.inner.live += int(sign); before > 0 && p.inner.live > 0 {
			continue
		}
		t.bytes += sign * innerSize
		if p.log == nil {
			t.bytes += sign * nodeSize
		}
	}
}

// lose remembers a loss of the topic, n's, newer than all before it.
func (t *topicTree) lose(n *topicNode, topic string, m mark, superseded bool) {
	if n.lost.none() {
		t.lossy++
	} else {
		t.unlink(n)
	}
	n.lost.note(m, superseded)
	t.link(n)
	n.above(topic, func(in *innerNode) { in.lost.note(m, superseded) })
	for t.lossy > t.limit || t.lossy > 1 && t.lossBytes() > lossSize*int64(t.limit)+lossSlack {
		t.forget(t.oldest)
	}
}

// lossBytes returns the memory of the nodes that are there for losses alone.
func (t *topicTree) lossBytes() int64 {
	return int64(t.nodes)*nodeSize + int64(t.inners)*innerSize + int64(len(t.byName))*topicSize - t.bytes
}

// forget the loss of n, the oldest.
func (t *topicTree) forget(n *topicNode) {
	t.unlink(n)
	t.lossy--
	if n.lost[0].seq > t.forgotten.seq {
		t.forgotten = n.lost[0]
	}
	n.lost = newest{}
	if n.log == nil {
		delete(t.byName, n.topic)
		n.topic = ""
		t.prune(n)
	}
}

func (t *topicTree) link(n *topicNode) {
	n.older, n.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = n
	} else {
		t.oldest = n
	}
	t.newest = n
}

func (t *topicTree) unlink(n *topicNode) {
	t.leave(n)
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

// grow makes the nodes down to a topic.
func (t *topicTree) grow(topic string) *topicNode {
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

// prune takes away the nodes that stand for nothing any more, upwards.
func (t *topicTree) prune(n *topicNode) {
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
