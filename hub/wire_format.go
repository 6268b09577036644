package hub

// WireFormat is a slot for one encoded form of an event. What a form is, only its encoder knows;
// the hub keeps the bytes with the event, so that they are made once however many subscribers
// and feeds carry the event.
type WireFormat int

// WireFormatCount is the number of slots.
const WireFormatCount = 7

// Encoded returns the event's bytes in a form, encoded on first use. Two callers at once may both
// encode; one result is kept. The bytes must not be changed.
//
// Kept encodings have a part of Retention.Bytes to themselves, see encodingCache. An event that finds
// no room there is encoded anew for each reader.
func (e *Event) Encoded(format WireFormat, encode func(*Event) []byte) []byte {
	if kept := e.encodingIn(format); kept != nil {
		return kept.bytes
	}
	b := encode(e)
	if e.cache == nil {
		return b
	}
	return e.cache.store(e, format, b)
}

// encoding is an event's bytes in one form, in a list of those that the event keeps.
type encoding struct {
	bytes  []byte
	format WireFormat
	next   *encoding
}

// encodingIn returns the event's encoding in a form, nil if it keeps none.
func (e *Event) encodingIn(format WireFormat) *encoding {
	at := e.encodings.Load()
	for at != nil && at.format != format {
		at = at.next
	}
	return at
}

// dropEncodings removes the encodings of the event and returns how many bytes they were.
func (e *Event) dropEncodings() int64 {
	var n int64
	for at := e.encodings.Swap(nil); at != nil; at = at.next {
		n += int64(len(at.bytes))
	}
	return n
}
