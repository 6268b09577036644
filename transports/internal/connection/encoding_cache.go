package connection

import (
	"runtime"
	"sync"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Limits of the encodings that slow connections are writing.
const (
	// maxCacheBytes is the maximum size of all encodings together. A single encoding may exceed it
	// while the cache is otherwise empty.
	maxCacheBytes = 32 << 20
	// subjectShare is the divisor for the limit per subject, which is maxCacheBytes/subjectShare.
	subjectShare = 2
	// smallData is the data size, in bytes, up to which an event is encoded without waiting for an
	// encode slot.
	smallData = 8 << 10 // bytes
)

// EncodingCache encodes each event once for all connections. It attaches the encodings of the newest
// events to the events in the in-memory log; see Encoded.
//
// It also holds the encodings of events that connections are currently writing; these events may have
// left the in-memory log. Connections that write the same event share one encoding and do not copy it.
// The size of the held encodings is limited in total and per subject, the owner of a token. If a
// connection would exceed a limit, it encodes the event again for each chunk that it writes.
type EncodingCache struct {
	retained    retainedEncodings
	encodeSlots chan struct{} // one slot for each large event being encoded

	mu       sync.Mutex
	byKey    map[encodingKey]*CachedEncoding
	bytes    int64
	subjects map[string]int64 // size of the encodings that connections of the subject hold, in bytes
}

// Format encodes events in one wire format.
type Format interface {
	// Form identifies the result of Encode. Two formats with the same Form return the same bytes.
	Form() wire.Form
	Encode(*hub.Event) []byte
}

type encodingKey struct {
	event hub.Cursor
	form  wire.Form
}

// CachedEncoding is the encoding of an event in one wire format. Connections hold it while they
// write it.
type CachedEncoding struct {
	bytes []byte // static

	// guarded by EncodingCache.mu

	key     encodingKey
	holders []holder // the connections that hold the encoding, counted per subject
}

type holder struct {
	subject string
	count   int
}

// newEncodingCache returns a cache. The encodings that it attaches to events of the in-memory log take
// at most retainedBytes.
func newEncodingCache(retainedBytes int64) *EncodingCache {
	return &EncodingCache{
		retained:    retainedEncodings{limit: retainedBytes},
		encodeSlots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		byKey:       make(map[encodingKey]*CachedEncoding),
		subjects:    make(map[string]int64),
	}
}

// RetainedBytes returns the memory of the encodings that are attached to events of the in-memory log,
// in bytes.
func (s *EncodingCache) RetainedBytes() int64 {
	s.retained.mu.Lock()
	defer s.retained.mu.Unlock()
	return s.retained.bytes
}

// Bytes returns the size of the encodings that connections hold, in bytes.
func (s *EncodingCache) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Acquire returns the event in format f, and holds the encoding for a connection of the given subject
// until Release is called. It encodes the event on first use. If the encoding would exceed a limit, the
// CachedEncoding is nil, and the caller must copy the bytes immediately.
func (s *EncodingCache) Acquire(e *hub.Event, f Format, subject string) (*CachedEncoding, []byte) {
	key := encodingKey{e.ID, f.Form()}
	s.mu.Lock()
	if x := s.byKey[key]; x != nil {
		defer s.mu.Unlock()
		return s.addHolder(x, subject), x.bytes
	}
	s.mu.Unlock()
	b := s.Encode(e, f)
	if x := s.insert(key, b, subject); x != nil {
		return x, x.bytes
	}
	return nil, b
}

// insert returns the cached encoding for key, and counts a connection of the given subject as its holder.
// If the cache has no encoding for key, insert adds b. It returns nil if a limit would be exceeded.
func (s *EncodingCache) insert(key encodingKey, b []byte, subject string) *CachedEncoding {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byKey[key]
	if x == nil {
		if s.bytes > 0 && s.bytes+int64(len(b)) > maxCacheBytes {
			return nil
		}
		x = &CachedEncoding{bytes: b, key: key}
	}
	return s.addHolder(x, subject)
}

// addHolder adds a connection of the given subject to the holders of x. It returns nil if that would
// exceed the subject's share. mu must be held.
func (s *EncodingCache) addHolder(x *CachedEncoding, subject string) *CachedEncoding {
	size := int64(len(x.bytes))
	for i := range x.holders {
		if h := &x.holders[i]; h.subject == subject {
			h.count++
			return x
		}
	}
	if n := s.subjects[subject]; n > 0 && n+size > maxCacheBytes/subjectShare {
		return nil
	}
	if len(x.holders) == 0 {
		s.byKey[x.key] = x
		s.bytes += size
	}
	x.holders = append(x.holders, holder{subject, 1})
	s.subjects[subject] += size
	return x
}

// Release undoes one call of Acquire for a connection of the given subject. If no other connection holds
// x, the cache drops it.
func (s *EncodingCache) Release(x *CachedEncoding, subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(len(x.bytes))
	for i := range x.holders {
		h := &x.holders[i]
		if h.subject != subject {
			continue
		}
		if h.count--; h.count > 0 {
			return
		}
		last := len(x.holders) - 1
		x.holders[i] = x.holders[last]
		x.holders = x.holders[:last]
		if s.subjects[subject] -= size; s.subjects[subject] == 0 {
			delete(s.subjects, subject)
		}
		break
	}
	if len(x.holders) == 0 {
		delete(s.byKey, x.key)
		s.bytes -= size
	}
}

// Bytes returns the encoding. The caller must not change the bytes, nor keep them after Release.
func (x *CachedEncoding) Bytes() []byte { return x.bytes }

// Encode is like Encoded, but blocks while GOMAXPROCS other large events are being encoded: an encoder
// needs several times the memory of its event. The caller must write or copy the bytes immediately.
func (s *EncodingCache) Encode(e *hub.Event, f Format) []byte {
	if len(e.Data) > smallData {
		s.encodeSlots <- struct{}{}
		defer func() { <-s.encodeSlots }()
	}
	return s.Encoded(e, f)
}
