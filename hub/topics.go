package hub

import (
	"strings"
	"sync"
)

// lossMark describes the newest lost event of one or several topics: its seq, and the latest time of all
// events up to it. The zero mark means that nothing was lost.
type lossMark struct {
	seq  uint64
	time int64 // nanoseconds since 1970
}

// lossMarks contains one mark for subscribers that receive every event and one for subscribers that conflate. For
// conflating subscribers, the removal of a superseded event is not a loss.
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

// topicNode is a node of the topic tree: a token, and the state of the topic that ends with it.
type topicNode struct {
	parent *topicNode
	token  string
	topic  string     // full name, if the topic has events or a loss
	inner  *innerNode // nil: no topic continues below this node

	log  *deque[*Event] // retained events of this topic; nil: none
	lost lossMarks      // losses of this topic; zero: none is remembered

	older, newer *topicNode // neighbors in the list of topics with a loss, which is ordered by the seq of the loss
}

// innerNode aggregates all topics below a node, so that a search can skip them. The aggregates are not lowered when a
// loss is forgotten, so they may report losses that are no longer recorded.
type innerNode struct {
	children map[string]*topicNode
	lastSeq  uint64 // seq of the newest event of these topics, even if it was removed
	live     int    // number of these topics that have events
	lost     lossMarks
}

// lossSize and lossSlack limit the memory of nodes that exist only for losses, in bytes. The limit is
// lossSize times topicTree.limit, plus lossSlack. This suffices if each topic adds one node. Topics that add
// several nodes need more memory, so fewer of their losses are recorded.
const (
	lossSize  = 320
	lossSlack = 64 << 10
)

// topicTree contains the topics that have retained events, and up to limit topics with a recorded loss. Events are
// removed from the oldest to the newest, so each loss is newer than all previous ones. Beyond the limit, the oldest
// loss is forgotten.
type topicTree struct {
	limit       int                   // maximum of lossTopics; static
	searchLimit int                   // static; maxTopicSearch, except in tests
	root        topicNode             // its inner is never nil
	byName      map[string]*topicNode // topics with events or a loss

	nodes          int   // number of nodes, without the root
	inners         int   // number of nodes with topics below them
	retained       int   // number of topics with events
	topicBytes     int64 // memory of the nodes of topics with events
	lossTopics     int   // number of topics with a loss
	oldest, newest *topicNode
	forgotten      lossMark // the newest loss that was forgotten, or that happened before this hub started

	suspendedMu sync.Mutex                   // guards suspended; needed because readers that hold only a read lock write it
	suspended   map[*topicNode][]*lossSearch // suspended searches, by the next topic that they visit
}

func newTopicTree(limit int, lowWatermark uint64) topicTree {
	return topicTree{
		limit:       limit,
		searchLimit: maxTopicSearch,
		root:        topicNode{inner: &innerNode{children: make(map[string]*topicNode)}},
		byName:      make(map[string]*topicNode),
		forgotten:   lossMark{seq: lowWatermark},
	}
}

// push adds the newest event.
func (t *topicTree) push(e *Event) {
	if t.forgotten.time == 0 {
		t.forgotten.time = e.maxTime // earlier events have no later time
	}
	n := t.nodeOf(e.Topic)
	if n.log == nil {
		n.log = new(deque[*Event])
		t.retained++
		t.countTopic(n, 1)
	}
	n.log.push(e)
	n.eachAncestor(e.Topic, func(in *innerNode) { in.lastSeq = e.ID.Seq })
}

// nodeOf returns the node of the topic, and creates it if necessary.
func (t *topicTree) nodeOf(topic string) *topicNode {
	n := t.byName[topic]
	if n == nil {
		n = t.addNodes(topic)
		n.topic = topic
		t.byName[topic] = n
	}
	return n
}

// pop removes e, the oldest event, and records its loss.
func (t *topicTree) pop(e *Event) {
	n := t.byName[e.Topic]
	n.log.pop()
	if n.log.len() == 0 {
		t.retire(n)
	}
	t.recordLoss(n, e.Topic, lossMark{e.ID.Seq, e.maxTime}, e.superseded)
}

// popErased removes the oldest event of the topic, which is a placeholder.
func (t *topicTree) popErased(topic string) {
	n := t.byName[topic]
	n.log.pop()
	if n.log.len() > 0 {
		return
	}
	t.retire(n)
	if n.lost.none() {
		delete(t.byName, topic)
		n.topic = ""
		t.pruneNodes(n)
	}
}

// retire records that a topic has no events any more.
func (t *topicTree) retire(n *topicNode) {
	n.log = nil
	t.retained--
	t.countTopic(n, -1)
}

// topicSize is the memory of a topic's log with its entry in byName. nodeSize is the memory of a node
// with its entry in the parent's children. innerSize is the memory of an innerNode with its smallest
// map. All are in bytes.
const (
	topicSize = 104
	nodeSize  = 152
	innerSize = 304
)

// countTopic updates topicBytes. When a topic gets its first event, sign is 1, and the memory of the topic is
// added. When a topic loses its last event, sign is -1, and the memory is subtracted. A node is counted while
// it is on the path to a topic with events.
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

// recordLoss records that an event of the topic was lost. n is the node of the topic. m must be newer than all
// marks that were recorded before.
func (t *topicTree) recordLoss(n *topicNode, topic string, m lossMark, superseded bool) {
	if n.lost.none() {
		t.lossTopics++
	} else {
		t.unlinkLoss(n)
	}
	n.lost.record(m, superseded)
	t.linkLoss(n)
	n.eachAncestor(topic, func(in *innerNode) { in.lost.record(m, superseded) })
	for t.lossTopics > t.limit || t.lossTopics > 1 && t.lossBytes() > lossSize*int64(t.limit)+lossSlack {
		t.forgetLoss(t.oldest)
	}
}

// lossBytes returns the memory of the nodes that exist only for losses.
func (t *topicTree) lossBytes() int64 {
	return int64(t.nodes)*nodeSize + int64(t.inners)*innerSize + int64(len(t.byName))*topicSize - t.topicBytes
}

// forgetLoss removes the recorded loss of the topic of n. It must be the oldest recorded loss.
func (t *topicTree) forgetLoss(n *topicNode) {
	t.unlinkLoss(n)
	t.lossTopics--
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

// addNodes creates the nodes on the path to a topic, and returns the last.
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

// pruneNodes removes n and the nodes above it, up to the first node that is not empty.
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

// eachAncestor calls f for the inner nodes above n. It skips the root if the topic begins with "$", because no
// wildcard as the first token selects such a topic.
func (n *topicNode) eachAncestor(topic string, f func(*innerNode)) {
	for p := n.parent; p != nil; p = p.parent {
		if p.parent != nil || !strings.HasPrefix(topic, "$") {
			f(p.inner)
		}
	}
}
