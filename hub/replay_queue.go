package hub

import (
	"cmp"
	"container/list"
	"slices"
)

// maxResolved limits the queries that are visited in one hold of replayReader.mu.
const maxResolved = 256

// queryQueue holds the queries that wait for the log, at most one per subscription. No operation visits all of
// them. Guarded by replayReader.mu.
type queryQueue struct {
	bySub       map[*Subscription]*logQuery
	oldest      list.List               // all queries except those for filtered chunks, in order of arrival
	numbers     list.List               // queries that are not for a chunk, in order of arrival
	chunks      []*logQuery             // queries of oldest that are for a chunk, in the order of compareQueries
	sameQueries map[question]*list.List // queries that are not for a chunk, by question, in order of picks

	oldestMatching list.List   // queries that wait for filtered chunks, in order of arrival
	matching       []*logQuery // the same, in the order of compareQueries

	enqueued uint64 // number of queries ever put into the queue
	visited  int    // queries visited; for tests
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
	return queryQueue{bySub: make(map[*Subscription]*logQuery), sameQueries: make(map[question]*list.List)}
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

// len returns the number of queries that do not wait for filtered chunks.
func (w *queryQueue) len() int { return w.oldest.Len() }

// lists returns where the query belongs if it is for a chunk.
func (w *queryQueue) lists(matching bool) (oldest *list.List, chunks *[]*logQuery) {
	if matching {
		return &w.oldestMatching, &w.matching
	}
	return &w.oldest, &w.chunks
}

// put adds the query, or replaces another one of the same subscription and takes its place in oldest. It reports
// whether the queue has changed.
func (w *queryQueue) put(q *logQuery) bool {
	other := w.bySub[q.sub]
	if other != nil && other.sameAs(q) {
		return false
	}
	w.enqueued++
	q.number = w.enqueued
	oldest, chunks := w.lists(q.matching)
	if other != nil && other.matching == q.matching {
		w.removeKind(other)
		q.inOldest = other.inOldest
		q.inOldest.Value = q
	} else {
		w.remove(q.sub)
		q.inOldest = oldest.PushBack(q)
	}
	w.bySub[q.sub] = q
	if q.kind == queryChunk {
		*chunks = slices.Insert(*chunks, w.search(*chunks, q), q)
		return true
	}
	q.inNumbers = w.numbers.PushBack(q)
	same := w.sameQueries[q.question()]
	if same == nil {
		same = new(list.List)
		w.sameQueries[q.question()] = same
	}
	q.inSame = same.PushBack(q)
	return true
}

// search returns the index of the first query that is not before q.
func (w *queryQueue) search(chunks []*logQuery, q *logQuery) int {
	i, _ := slices.BinarySearchFunc(chunks, q, func(a, b *logQuery) int {
		w.visited++
		return compareQueries(a, b)
	})
	return i
}

// remove removes the query of the subscription, if there is one.
func (w *queryQueue) remove(s *Subscription) {
	if q := w.bySub[s]; q != nil {
		delete(w.bySub, s)
		oldest, _ := w.lists(q.matching)
		oldest.Remove(q.inOldest)
		w.removeKind(q)
	}
}

// removeKind removes the query from the lists for its kind.
func (w *queryQueue) removeKind(q *logQuery) {
	w.visited++
	if q.kind == queryChunk {
		_, chunks := w.lists(q.matching)
		i := w.search(*chunks, q)
		*chunks = slices.Delete(*chunks, i, i+1)
		return
	}
	w.numbers.Remove(q.inNumbers)
	same := w.sameQueries[q.question()]
	if same.Remove(q.inSame); same.Len() == 0 {
		delete(w.sameQueries, q.question())
	}
}

// postpone moves the query of the subscription behind all others.
func (w *queryQueue) postpone(s *Subscription) {
	if q := w.bySub[s]; q != nil && !q.matching {
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
	if i := w.search(w.chunks, &logQuery{seq: seq}); i < len(w.chunks) {
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

// removeSame removes at most maxResolved queries that ask what q asks and were enqueued before q was picked. It
// appends their subscriptions to subs, and reports whether none is left.
func (w *queryQueue) removeSame(subs []*Subscription, q *logQuery) (_ []*Subscription, done bool) {
	for range maxResolved {
		same := w.sameQueries[q.question()]
		if same == nil || firstOf(same).picks >= q.picks {
			return subs, true
		}
		sub := firstOf(same).sub
		w.remove(sub)
		subs = append(subs, sub)
	}
	return subs, false
}

// sweep is a walk in pieces over the queries for chunks with a seq in [next, to).
type sweep struct {
	next, to uint64
	after    uint64 // number of the last visited query at next
	newest   uint64 // queries with a higher number are skipped; otherwise a sweep might never end

	matching bool      // walk over the queries for filtered chunks
	set      FilterSet // if not empty, walk only over the queries with this set
}

// sweeps returns the sweeps over the queries that the chunk answers.
func (w *queryQueue) sweeps(c *chunk) (all []sweep) {
	if !c.sparse {
		all = []sweep{{next: c.from, to: c.to, newest: w.enqueued, set: c.set}}
		if len(w.matching) > 0 {
			all = append(all, all[0])
			all[1].matching = true
		}
		return all
	}
	for _, e := range c.elements {
		all = append(all, sweep{next: e.ID.Seq - 1, to: e.ID.Seq, newest: w.enqueued})
	}
	return all
}

// removeSwept visits at most maxResolved queries in the range of the sweep and removes those that belong to it. It
// appends their subscriptions to subs, and reports whether the sweep is complete.
func (w *queryQueue) removeSwept(subs []*Subscription, s *sweep) (_ []*Subscription, done bool) {
	oldest, list := w.lists(s.matching)
	chunks := *list
	begin := w.search(chunks, &logQuery{seq: s.next, number: s.after + 1})
	end, kept := begin, begin
	for ; end < len(chunks) && chunks[end].seq < s.to && end-begin < maxResolved; end++ {
		q := chunks[end]
		w.visited++
		s.next, s.after = q.seq, q.number
		if q.number > s.newest || s.set.Len() > 0 && !s.set.Equal(q.set) {
			chunks[kept] = q
			kept++
			continue
		}
		delete(w.bySub, q.sub)
		oldest.Remove(q.inOldest)
		subs = append(subs, q.sub)
	}
	done = end == len(chunks) || chunks[end].seq >= s.to
	*list = slices.Delete(chunks, kept, end)
	return subs, done
}

// resolveInPieces calls piece, which removes queries from the queue, until piece returns done. mu is held during
// each call and released in between. It wakes the subscriptions that piece returns.
func (rr *replayReader) resolveInPieces(piece func() (subs []*Subscription, done bool)) {
	for done := false; !done; {
		var subs []*Subscription
		rr.mu.Lock()
		subs, done = piece()
		rr.mu.Unlock()
		for _, s := range subs {
			s.sink.Ready(&Batch{})
		}
		if rr.yielded != nil {
			rr.yielded()
		}
	}
}

// resolveSweeps removes the queries of the sweeps and wakes their subscriptions.
func (rr *replayReader) resolveSweeps(sweeps []sweep) {
	for i := range sweeps {
		rr.resolveInPieces(func() ([]*Subscription, bool) { return rr.queue.removeSwept(nil, &sweeps[i]) })
	}
}

// resolveSame does one piece of removing the queries that ask what q asks, and sets their result to r. mu must be
// held.
func (rr *replayReader) resolveSame(q *logQuery, r queryResult) (subs []*Subscription, done bool) {
	subs, done = rr.queue.removeSame(nil, q)
	for _, s := range subs {
		rr.results[s] = r
	}
	return subs, done
}
