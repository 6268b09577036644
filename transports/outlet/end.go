package outlet

import (
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// ending ends a stream.
type ending struct {
	// final returns the last bytes, given the position that the subscriber has by then.
	final func(id string) []byte
	over  bool // for good: the client is not meant to resume
}

// Goaway has all that was accepted by now delivered; then the subscriber is told to come back after retry, and the stream ends.
func (o *Outlet) Goaway(retry time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.end(ending{final: func(id string) []byte { return o.cfg.Codec.AppendGoaway(nil, id, retry) }}, o.sub.Newest().Seq)
	}
}

// Fail ends the stream with an error, without the events that wait.
func (o *Outlet) Fail(p *wire.Problem) {
	o.finish(o.failure(p))
}

// failure ends a stream with an error.
func (o *Outlet) failure(p *wire.Problem) ending {
	return ending{func(id string) []byte { return o.cfg.Codec.AppendError(nil, id, p) }, !p.Temporary()}
}

// Finish ends the stream with these bytes, without the events that wait.
func (o *Outlet) Finish(final []byte) {
	o.finish(ending{func(string) []byte { return final }, true})
}

func (o *Outlet) finish(e ending) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.end(e, 0)
	}
}

// end has e written when the position is at endAt. What was to be said last before stays so.
func (o *Outlet) end(e ending, endAt uint64) {
	if o.ending {
		return
	}
	w := o.later()
	o.ending, w.end, w.endAt = true, e, endAt
	o.drain()
}

// Hangup closes the connection as soon as the end of the stream is out; at once if it is, or if
// the stream was not ending.
func (o *Outlet) Hangup() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending && o.busy {
		o.hangup = true
	} else {
		o.close()
	}
}

// Over reports whether the stream has ended for good, with its last bytes written. Otherwise the
// client is meant to resume, and the end of an HTTP/2 stream must be an error to it.
func (o *Outlet) Over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over
}
