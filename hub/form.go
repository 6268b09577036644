package hub

// Form is a slot for one encoded form of an event. What a form is, only its encoder knows;
// the hub keeps the bytes with the event, so that they are made once however many subscribers
// and feeds carry the event.
type Form int

// FormCount is the number of slots.
const FormCount = 7

// Form returns the event's bytes in a form, encoded on first use. Two callers at once may both
// encode; one result is kept. The bytes must not be changed.
//
// Kept encodings have a part of Retention.Bytes to themselves, see encodingCache. An event that finds
// no room there is encoded anew for each reader.
func (e *Event) Form(f Form, encode func(*Event) []byte) []byte {
	if kept := e.kept(f); kept != nil {
		return kept.bytes
	}
	b := encode(e)
	if e.encodings == nil {
		return b
	}
	return e.encodings.keep(e, f, b)
}

// encoding is an event's bytes in one form, in a list of those that the event keeps.
type encoding struct {
	bytes []byte
	form  Form
	next  *encoding
}

// kept returns the event's encoding in a form, nil if it keeps none.
func (e *Event) kept(f Form) *encoding {
	at := e.forms.Load()
	for at != nil && at.form != f {
		at = at.next
	}
	return at
}

// dropForms removes the encodings of the event and returns how many bytes they were.
func (e *Event) dropForms() int64 {
	var n int64
	for at := e.forms.Swap(nil); at != nil; at = at.next {
		n += int64(len(at.bytes))
	}
	return n
}
