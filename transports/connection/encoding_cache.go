package connection

import (
	"runtime"
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Bounds of the encodings that slow connections are in the middle of.
const (
	// maxEncodings bounds the bytes of all of them; one that is larger by itself is let in alone.
	maxCacheBytes = 32 << 20
	// encodingShare is the part of maxEncodings that one subject may have, as a divisor.
	subjectShare = 2
	// cheapData is the size of an event's data up to which encoding it takes so little that nobody
	// has to wait for others who encode.
	smallData = 8 << 10 // bytes
)

// Encodings has the encodings of events that connections are in the middle of writing. Connections
// at one event have one encoding between them, which is written from where it is. Its bytes are
// bounded in all and for each subject; a connection past these bounds encodes again for each part
// that it writes.
type EncodingCache struct {
	encodeSlots chan struct{} // a place for each that encodes a large event

	mu       sync.Mutex
	byKey    map[encodingKey]*CachedEncoding
	bytes    int64
	subjects map[string]int64 // bytes of the encodings that connections of the subject hold
}

// Format encodes events in one form.
type Format interface {
	// Form is where the hub keeps what Encode returns.
	Form() hub.Form
	Encode(*hub.Event) []byte
}

type encodingKey struct {
	event hub.Cursor
	form  hub.Form
}

// Encoding is an event in one form, held by connections that write it.
type CachedEncoding struct {
	bytes []byte // static

	// guarded by Encodings.mu

	key     encodingKey
	holders []holder // by subject
}

type holder struct {
	subject string
	count   int
}

func newEncodingCache() *EncodingCache {
	return &EncodingCache{
		encodeSlots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		byKey:       make(map[encodingKey]*CachedEncoding),
		subjects:    make(map[string]int64),
	}
}

// Bytes returns how many bytes are held.
func (s *EncodingCache) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Acquire returns the event in a form, encoded on first use, held for a connection of the subject.
// The encoding is nil where it would be more than the subject or all may hold; then the bytes are for
// a caller that copies them at once.
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

// adopt returns an encoding with these bytes, or the one that is held already.
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

// hold adds a holder. Called with mu held.
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

// Release ends what Acquire began, for a connection of the subject.
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

// Bytes returns the encoding. The bytes must not be changed, nor kept after Release.
func (x *CachedEncoding) Bytes() []byte { return x.bytes }

// Encode returns the event in a form, for a caller that writes it at once or copies it. One large event
// at a time is encoded for each processor, since an encoder needs several times the memory of its event.
func (s *EncodingCache) Encode(e *hub.Event, f Format) []byte {
	if len(e.Data) > smallData {
		s.encodeSlots <- struct{}{}
		defer func() { <-s.encodeSlots }()
	}
	return e.Form(f.Form(), f.Encode)
}
