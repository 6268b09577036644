package hub

// WireFormat is a slot for an event's encoding in one wire format. The hub does not know the formats. It caches the
// encoded bytes with the event, so that an event is encoded once for all subscribers.
type WireFormat int

// Encoded returns the event's bytes in a wire format. It calls encode on first use. Concurrent callers may both
// encode; one result is cached. The bytes must not be changed.
//
// If the encoding cache has no room for the event, the event is encoded anew for each reader.
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

// encoding is an event's bytes in one wire format, an element of a linked list.
type encoding struct {
	bytes  []byte
	format WireFormat
	next   *encoding
}

// encodingIn returns the event's cached encoding in a wire format, or nil.
func (e *Event) encodingIn(format WireFormat) *encoding {
	at := e.encodings.Load()
	for at != nil && at.format != format {
		at = at.next
	}
	return at
}

// dropEncodings removes the event's cached encodings and returns their size in bytes.
func (e *Event) dropEncodings() int64 {
	var n int64
	for at := e.encodings.Swap(nil); at != nil; at = at.next {
		n += int64(len(at.bytes))
	}
	return n
}
