package hub

import (
	"cmp"
	"container/list"
	"slices"
)

// maxSettled bounds the queries that are visited in one hold of replayReader.mu.
const maxSettled = 256

// queryQueue holds the queries that wait for the log, at most one per subscription. No operation visits all of
// them. Guarded by replayReader.mu.
type queryQueue struct {
	bySub    map[*Subscription]*logQuery
	oldest   list.List               // all queries, the longest waiting first
	numbers  list.List               // queries that are not for a chunk, the longest waiting first
	chunks   []*logQuery             // queries for chunks, in the order of compareQueries
	sameAsks map[question]*list.List // queries that are not for a chunk, by what they ask, in the order of picks
	enqueued uint64                  // number of queries ever put into the queue
	visited  int                     // queries visited; for tests
}

// question identifies queries that have the same answer.
type question struct {
	kind   queryKind
	seq    uint64
	since  int64
	set    string
	enough int
}

func newQueryQueue() queryQueue {
	return queryQueue{bySub: make(map[*Subscription]*logQuery), sameAsks: make(map[question]*list.List)}
}

// question returns what a query that is not for a chunk asks. All queries for the last seq have the same answer.
func (q *logQuery) question() question {
	if q.kind == queryLastSeq {
		return question{kind: queryLastSeq}
	}
	return question{q.kind, q.seq, q.since.UnixNano(), q.set.Key(), q.enough}
}

// compareQueries orders queries for chunks by seq, and by number if that is equal.
func compareQueries(a, b *logQuery) int {
	return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.number, b.number))
}

func (w *queryQueue) len() int { return len(w.bySub) }

// put adds the query, or replaces another one of the same subscription and takes its place in oldest. It reports
// whether the queue has changed.
func (w *queryQueue) put(q *logQuery) bool {
	other := w.bySub[q.sub]
	if other != nil && other.sameAs(q) {
		return false
	}
	w.enqueued++
	q.number = w.enqueued
	w.bySub[q.sub] = q
	if other == nil {
		q.inOldest = w.oldest.PushBack(q)
	} else {
		w.removeKind(other)
		q.inOldest = other.inOldest
		q.inOldest.Value = q
	}
	if q.kind == queryChunk {
		w.chunks = slices.Insert(w.chunks, w.search(q), q)
		return true
	}
	q.inNumbers = w.numbers.PushBack(q)
	same := w.sameAsks[q.question()]
	if same == nil {
		same = new(list.List)
		w.sameAsks[q.question()] = same
	}
	q.inSame = same.PushBack(q)
	return true
}

// search returns the index of the first query for a chunk that is not before q.
func (w *queryQueue) search(q *logQuery) int {
	i, _ := slices.BinarySearchFunc(w.chunks, q, func(a, b *logQuery) int {
		w.visited++
		return compareQueries(a, b)
	})
	return i
}

// remove removes the query of the subscription, if there is one.
func (w *queryQueue) remove(s *Subscription) {
	if q := w.bySub[s]; q != nil {
		delete(w.bySub, s)
		w.oldest.Remove(q.inOldest)
		w.removeKind(q)
	}
}

// removeKind removes the query from the lists for its kind.
func (w *queryQueue) removeKind(q *logQuery) {
	w.visited++
	if q.kind == queryChunk {
		i := w.search(q)
		w.chunks = slices.Delete(w.chunks, i, i+1)
		return
	}
	w.numbers.Remove(q.inNumbers)
	same := w.sameAsks[q.question()]
	if same.Remove(q.inSame); same.Len() == 0 {
		delete(w.sameAsks, q.question())
	}
}

// postpone moves the query of the subscription behind all others.
func (w *queryQueue) postpone(s *Subscription) {
	if q := w.bySub[s]; q != nil {
		w.oldest.MoveToBack(q.inOldest)
		if q.kind != queryChunk {
			w.numbers.MoveToBack(q.inNumbers)
		}
	}
}

// firstOf returns the query at the front of the list, nil if the list is empty.
func firstOf(l *list.List) *logQuery {
	if l.Len() == 0 {
		return nil
	}
	return l.Front().Value.(*logQuery)
}

// chunkFrom returns the query for the chunk with the lowest seq from the given one on, nil if there is none.
func (w *queryQueue) chunkFrom(seq uint64) *logQuery {
	if i := w.search(&logQuery{seq: seq}); i < len(w.chunks) {
		return w.chunks[i]
	}
	return nil
}

// newestChunk returns the query for the chunk with the highest seq, nil if there is none.
func (w *queryQueue) newestChunk() *logQuery {
	if len(w.chunks) == 0 {
		return nil
	}
	return w.chunks[len(w.chunks)-1]
}

// takeSame removes at most maxSettled queries that ask what q asks and were enqueued before q was picked. It appends
// their subscriptions, and reports whether none is left.
func (w *queryQueue) takeSame(subs []*Subscription, q *logQuery) (_ []*Subscription, done bool) {
	for range maxSettled {
		same := w.sameAsks[q.question()]
		if same == nil || firstOf(same).picks >= q.picks {
			return subs, true
		}
		sub := firstOf(same).sub
		w.remove(sub)
		subs = append(subs, sub)
	}
	return subs, false
}

// sweep is a walk over the queries for chunks with a seq in [next, to), in pieces.
type sweep struct {
	next, to uint64
	after    uint64 // number of the last visited query at next
	newest   uint64 // queries with a higher number are skipped; otherwise a sweep might never end
}

// takeSwept visits at most maxSettled queries of the sweep and removes them. It appends their subscriptions, and
// reports whether the sweep is complete.
func (w *queryQueue) takeSwept(subs []*Subscription, s *sweep) (_ []*Subscription, done bool) {
	begin := w.search(&logQuery{seq: s.next, number: s.after + 1})
	end, kept := begin, begin
	for ; end < len(w.chunks) && w.chunks[end].seq < s.to && end-begin < maxSettled; end++ {
		q := w.chunks[end]
		w.visited++
		s.next, s.after = q.seq, q.number
		if q.number > s.newest {
			w.chunks[kept] = q
			kept++
			continue
		}
		delete(w.bySub, q.sub)
		w.oldest.Remove(q.inOldest)
		subs = append(subs, q.sub)
	}
	done = end == len(w.chunks) || w.chunks[end].seq >= s.to
	w.chunks = slices.Delete(w.chunks, kept, end)
	return subs, done
}
