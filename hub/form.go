package hub

import "sync/atomic"

// Form is a slot for one encoded form of an event. What a form is, only its encoder knows;
// the hub keeps the bytes with the event, so that they are made once however many subscribers
// and feeds carry the event.
type Form int

// FormCount is the number of slots.
const FormCount = 4

// Form gives the event's bytes in a form, encoded on first use. Two callers at once may both
// encode; one result is kept. The bytes must not be changed.
//
// Forms count toward RetainBytes: at most a quarter of it, and an eighth from the next event on. One
// that is older than those that fit is encoded anew for each reader.
func (e *Event) Form(f Form, encode func(*Event) []byte) []byte {
	if kept := e.forms[f].Load(); kept != nil {
		return *kept
	}
	b := encode(e)
	if e.shelf != nil && e.shelf.admits(e.ID.Seq, len(b)) && e.forms[f].CompareAndSwap(nil, &b) {
		e.shelf.bytes.Add(int64(len(b)))
		if e.ID.Seq <= e.shelf.floor.Load() { // let go meanwhile, perhaps before it was kept
			e.shelf.bytes.Add(-e.dropForms())
		}
	}
	return b
}

// dropForms forgets the encoded forms and says how many bytes they were.
func (e *Event) dropForms() int64 {
	var n int64
	for i := range e.forms {
		if b := e.forms[i].Swap(nil); b != nil {
			n += int64(len(*b))
		}
	}
	return n
}

// shelf counts the encoded forms of all events of one window and says which may be kept.
type shelf struct {
	limit int64         // bytes; static
	bytes atomic.Int64  // kept now
	floor atomic.Uint64 // forms of events up to this seq are not kept; raised before they are dropped
}

// admits leaves the newest events room above the limit: the window sheds the oldest forms with
// the next event (see window.shed), and a reader of old events must not take the room away.
func (s *shelf) admits(seq uint64, n int) bool {
	return seq > s.floor.Load() && s.bytes.Load()+int64(n) <= 2*s.limit
}
