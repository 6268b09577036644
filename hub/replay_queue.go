package hub

import (
	"cmp"
	"container/list"
	"slices"
)

// maxResolved is the maximum number of queries that are visited before replayReader.mu is released.
const maxResolved = 256

// queryQueue holds the queries that wait for the log, at most one per subscription. No operation
// visits all of them. Guarded by replayReader.mu.
type queryQueue struct {
	bySub  map[*subscriber]*chunkQuery
	oldest list.List     // queries for unfiltered chunks, in order of arrival
	chunks []*chunkQuery // the same queries, in the order of compareQueries

	oldestMatching list.List     // queries that wait for filtered chunks, in order of arrival
	matching       []*chunkQuery // the same queries, in the order of compareQueries

	enqueued uint64 // number of queries that were ever added to the queue
	visited  int    // number of queries visited; for tests
}

func newQueryQueue() queryQueue {
	return queryQueue{bySub: make(map[*subscriber]*chunkQuery)}
}

// compareQueries orders queries by seq. Queries with equal seqs are ordered by number.
func compareQueries(a, b *chunkQuery) int {
	return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.number, b.number))
}

// len returns the number of queries for unfiltered chunks.
func (w *queryQueue) len() int { return w.oldest.Len() }

// lists returns the lists to which a query belongs.
func (w *queryQueue) lists(matching bool) (oldest *list.List, chunks *[]*chunkQuery) {
	if matching {
		return &w.oldestMatching, &w.matching
	}
	return &w.oldest, &w.chunks
}

// put adds the query. If there is another query of the same subscription, the new one takes its
// place in oldest. put reports whether the queue has changed.
func (w *queryQueue) put(q *chunkQuery) bool {
	other := w.bySub[q.sub]
	if other != nil && other.sameAs(q) {
		return false
	}
	w.enqueued++
	q.number = w.enqueued
	oldest, chunks := w.lists(q.matching)
	if other != nil && other.matching == q.matching {
		w.removeChunk(other)
		q.inOldest = other.inOldest
		q.inOldest.Value = q
	} else {
		w.remove(q.sub)
		q.inOldest = oldest.PushBack(q)
	}
	w.bySub[q.sub] = q
	*chunks = slices.Insert(*chunks, w.search(*chunks, q), q)
	return true
}

// search returns the index of the first query that is not before q.
func (w *queryQueue) search(chunks []*chunkQuery, q *chunkQuery) int {
	i, _ := slices.BinarySearchFunc(chunks, q, func(a, b *chunkQuery) int {
		w.visited++
		return compareQueries(a, b)
	})
	return i
}

// remove removes the query of the subscription, if there is one.
func (w *queryQueue) remove(s *subscriber) {
	if q := w.bySub[s]; q != nil {
		delete(w.bySub, s)
		oldest, _ := w.lists(q.matching)
		oldest.Remove(q.inOldest)
		w.removeChunk(q)
	}
}

// removeChunk removes the query from the list that is sorted by compareQueries.
func (w *queryQueue) removeChunk(q *chunkQuery) {
	w.visited++
	_, chunks := w.lists(q.matching)
	i := w.search(*chunks, q)
	*chunks = slices.Delete(*chunks, i, i+1)
}

// postpone moves the query of the subscriber to the end of oldest, the list in order of arrival.
func (w *queryQueue) postpone(s *subscriber) {
	if q := w.bySub[s]; q != nil && !q.matching {
		w.oldest.MoveToBack(q.inOldest)
	}
}

// firstOf returns the query at the front of the list, or nil if the list is empty.
func firstOf(l *list.List) *chunkQuery {
	if l.Len() == 0 {
		return nil
	}
	return l.Front().Value.(*chunkQuery)
}

// chunkFrom returns the query with the lowest seq that is at least the parameter seq, or nil if there is
// none.
func (w *queryQueue) chunkFrom(seq uint64) *chunkQuery {
	if i := w.search(w.chunks, &chunkQuery{seq: seq}); i < len(w.chunks) {
		return w.chunks[i]
	}
	return nil
}

// newestChunk returns the query with the highest seq, or nil if there is none.
func (w *queryQueue) newestChunk() *chunkQuery {
	if len(w.chunks) == 0 {
		return nil
	}
	return w.chunks[len(w.chunks)-1]
}

// sweep is the state of an iteration over the queries with a seq in [next, to). Each call of removeSwept does
// one piece of the iteration.
type sweep struct {
	next, to uint64
	after    uint64 // number of the last visited query at next
	newest   uint64 // queries with a higher number are skipped; otherwise a sweep might never end

	matching bool      // iterate over the queries for filtered chunks
	set      FilterSet // if not empty, iterate only over the queries with this set
}

// sweeps returns sweeps over all queries that the chunk answers.
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

// removeSwept visits at most maxResolved queries in the range of the sweep and removes the queries that
// belong to the sweep. It appends their subscriptions to subs, and reports whether the sweep is
// complete.
func (w *queryQueue) removeSwept(subs []*subscriber, s *sweep) (_ []*subscriber, done bool) {
	oldest, list := w.lists(s.matching)
	chunks := *list
	begin := w.search(chunks, &chunkQuery{seq: s.next, number: s.after + 1})
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

// resolveSweeps removes the queries of the sweeps in pieces, and wakes their subscriptions.
func (rr *replayReader) resolveSweeps(sweeps []sweep) {
	for i := range sweeps {
		for done := false; !done; {
			var subs []*subscriber
			rr.mu.Lock()
			subs, done = rr.queue.removeSwept(nil, &sweeps[i])
			rr.mu.Unlock()
			for _, s := range subs {
				s.sink.Ready(&Batch{})
			}
			if rr.yielded != nil {
				rr.yielded()
			}
		}
	}
}
