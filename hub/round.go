package hub

// Round is what a feed offers its subscribers at once. It is the worker's: a Sink must not keep
// it, nor bytes of Join, after Ready returns.
type Round struct {
	// All events of the feed in (From, To] are Events, in order.
	From, To uint64
	Events   []*Event

	feed  *feed
	joins []join // of this round; the buffers are kept from round to round
}

// join is a range of the round's events in one form, made contiguous so that it is one write.
type join struct {
	form       Form
	start, end int
	bytes      []byte
	buffer     []byte // the memory of bytes, where it is several events
}

// maxJoin bounds the bytes of one join of several events.
const maxJoin = 64 << 10

func (r *Round) reset(f *feed, from, to uint64, events []*Event) {
	clear(r.Events)
	r.feed, r.From, r.To, r.Events = f, from, to, append(r.Events[:0], events...)
	r.joins = r.joins[:0]
}

// Join gives the bytes of the events from start on, in a form, as many as go into 64 KiB but one
// at least, and the index after the last. Who asks for the same gets the same bytes: they are
// joined once for all who stand at one place.
func (r *Round) Join(form Form, encode func(*Event) []byte, start int) (b []byte, end int) {
	for i := range r.joins {
		if j := &r.joins[i]; j.form == form && j.start == start {
			return j.bytes, j.end
		}
	}
	if len(r.joins) == maxJoins {
		return r.Events[start].Form(form, encode), start + 1
	}
	j := r.addJoin()
	j.form, j.start, j.end = form, start, start+1
	j.bytes = r.Events[start].Form(form, encode)
	if j.end == len(r.Events) || len(j.bytes) >= maxJoin {
		return j.bytes, j.end
	}
	j.buffer = append(j.buffer[:0], j.bytes...)
	for ; j.end < len(r.Events); j.end++ {
		piece := r.Events[j.end].Form(form, encode)
		if len(j.buffer)+len(piece) > maxJoin {
			break
		}
		j.buffer = append(j.buffer, piece...)
	}
	j.bytes = j.buffer
	return j.bytes, j.end
}

// addJoin takes up the buffer of an earlier round where there is one.
func (r *Round) addJoin() *join {
	if n := len(r.joins); n < cap(r.joins) {
		r.joins = r.joins[:n+1]
	} else {
		r.joins = append(r.joins, join{})
	}
	return &r.joins[len(r.joins)-1]
}

// maxJoins bounds the joins of a round, and so the memory of a worker: 2 MiB. Who stands at yet
// another place takes one event at a time.
const maxJoins = 32

// release lets go of the events, so that an idle worker pins none.
func (r *Round) release() {
	clear(r.Events)
	r.feed, r.Events = nil, r.Events[:0]
	for i := range r.joins {
		r.joins[i].bytes = nil
	}
}
