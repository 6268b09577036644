package hub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"hash/maphash"
	"sync"
	"time"
)

// Limits of idempotency keys (docs/protocol.md#idempotency-keys).
const (
	MaxIdempotencyKeyLen = 128     // bytes
	MaxIdempotencyKeys   = 100_000 // maximum for all subjects together; keys are never removed before they expire
	IdempotencyPeriod    = 2 * time.Minute
)

// Receipt is the result of a publish with an idempotency key.
type Receipt struct {
	Last  Cursor // ID of the last event
	Count int
}

// keyShare limits the number of keys per subject: a subject may claim another key if the number of free
// keys is more than keyShare times the number of keys that the subject holds. If only one subject uses
// keys, it can hold a fifth of all keys. If several subjects use keys, each can hold fewer. A subject
// that holds no key can claim one as long as any key is free.
const keyShare = 4

// MayHoldKey reports whether a subject may claim another idempotency key. held is the number of keys
// that the subject holds, and remembered is the number of keys that all subjects hold together.
func MayHoldKey(held, remembered int) bool {
	return held*keyShare < MaxIdempotencyKeys-remembered
}

// KeysFull returns an error that wraps ErrKeysFull and names the limit that was reached.
func KeysFull(held, remembered int) error {
	if remembered >= MaxIdempotencyKeys {
		return fmt.Errorf("%w: %d in total, the limit of the hub", ErrKeysFull, remembered)
	}
	return fmt.Errorf("%w: %d for this token, its share of %d", ErrKeysFull, held, MaxIdempotencyKeys)
}

// idempotency stores the results of publishes with a key. It stores hashes of keys and subjects, so that entries have a
// fixed size.
type idempotency struct {
	seeds [2]maphash.Seed // static
	start time.Time       // static

	mu      sync.Mutex
	records map[keyID]*keyRecord
	held    map[keyID]int // number of keys that each subject holds
	expiry  deque[expiring]

	yielded func() // for tests: called by removeExpired while mu is not held; static
}

func newIdempotency() *idempotency {
	return &idempotency{
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		start:   time.Now(),
		records: make(map[keyID]*keyRecord),
		held:    make(map[keyID]int),
	}
}

// keyID is the hash of a subject, or of a subject and its key. Subjects cannot use each other's keys. The seeds are
// random, so nobody can construct a collision.
type keyID [2]uint64

func (k *idempotency) idOf(names ...string) keyID {
	var id keyID
	for i, seed := range k.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, name := range names {
			writeSized(&h, []byte(name))
		}
		id[i] = h.Sum64()
	}
	return id
}

type keyRecord struct {
	subject keyID
	digest  Digest // digest of the events
	receipt Receipt
	pending bool // the first publish is running; digest and receipt are not set yet
}

type expiring struct {
	key keyID
	at  time.Duration // time since idempotency.start; monotonic: setting the clock expires no keys
}

// KeyClaim represents the use of an idempotency key by one request. The caller must call Publish or
// Abandon.
type KeyClaim struct {
	hub          *Hub
	subject, key string
	id           keyID      // hash of subject and key
	earlier      *keyRecord // record of an earlier publish; nil: this publish is the first
	ended        bool
	ifSpare      bool // set by ClaimKeyIfSpare; static
}

// ClaimKey begins a publish with an idempotency key. For IdempotencyPeriod after a successful publish, another publish
// of the same events by the same subject with the same key returns the same Receipt and publishes nothing. The error is
// ErrKeyInUse while the first publish is running. Otherwise it wraps ErrKeysFull.
func (h *Hub) ClaimKey(subject, key string) (*KeyClaim, error) {
	id := h.keys.idOf(subject, key)
	known, err := h.keys.claim(h.keys.idOf(subject), id, 1, time.Now())
	if err != nil {
		return nil, err
	}
	return &KeyClaim{hub: h, subject: subject, key: key, id: id, earlier: known}, nil
}

// ClaimKeyIfSpare is like ClaimKey, for a key that the publisher did not request. A subject can claim such a
// key only while it holds less than half of its share. After that, ClaimKeyIfSpare returns nil and increments
// Stats.KeysSpared.
func (h *Hub) ClaimKeyIfSpare(subject, key string) (*KeyClaim, error) {
	id := h.keys.idOf(subject, key)
	known, err := h.keys.claim(h.keys.idOf(subject), id, 2, time.Now())
	switch {
	case errors.Is(err, ErrKeysFull):
		h.stats.keysSpared.Add(1)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &KeyClaim{hub: h, subject: subject, key: key, id: id, earlier: known, ifSpare: true}, nil
}

// Known reports whether Publish returns the Receipt of an earlier publish.
func (c *KeyClaim) Known() bool { return c.earlier != nil }

// Publish publishes the events as Hub.Publish does, or returns the Receipt of the earlier publish. The error may
// also be ErrKeyReused.
func (c *KeyClaim) Publish(ctx context.Context, events ...*Event) (Receipt, error) {
	digest := digestOf(events)
	if c.earlier != nil {
		if c.earlier.digest != digest {
			return Receipt{}, ErrKeyReused
		}
		return c.earlier.receipt, nil
	}
	last, err := c.publish(ctx, digest, events)
	if err != nil {
		c.Abandon()
		return Receipt{}, err
	}
	c.ended = true
	receipt := Receipt{Last: last, Count: len(events)}
	c.hub.keys.complete(c.id, digest, receipt, time.Now())
	return receipt, nil
}

// publish publishes the events. An IdempotentPublisher records the key in the log, so that a retry
// returns the first result on any hub that shares the log, even if that result did not reach this hub.
func (c *KeyClaim) publish(ctx context.Context, digest Digest, events []*Event) (Cursor, error) {
	d, ok := c.hub.engine.(IdempotentPublisher)
	if !ok {
		return c.hub.Publish(ctx, events...)
	}
	last, err := c.hub.publish(events, func() (Cursor, error) {
		last, err := d.PublishOnce(ctx, c.subject, c.key, digest, events)
		if c.ifSpare && errors.Is(err, ErrKeysFull) { // the limit of all hubs together is reached, and nothing was published
			c.hub.stats.keysSpared.Add(1)
			return c.hub.engine.Publish(ctx, events)
		}
		return last, err
	})
	if err == nil {
		c.hub.waitOwnWrite(ctx, last)
	}
	return last, err
}

// Abandon frees the key if Publish was not called. The claim may be nil.
func (c *KeyClaim) Abandon() {
	if c == nil || c.ended {
		return
	}
	if c.earlier == nil {
		c.hub.keys.release(c.id)
	}
	c.ended = true
}

// PublishOnce claims the key and publishes the events.
func (h *Hub) PublishOnce(ctx context.Context, subject, key string, events ...*Event) (Receipt, error) {
	c, err := h.ClaimKey(subject, key)
	if err != nil {
		return Receipt{}, err
	}
	return c.Publish(ctx, events...)
}

// claim returns the record of an earlier publish with the key. If there is none, it creates a pending record
// and returns nil; the caller must then call release or complete. The number of keys that the subject already
// holds is multiplied by cost before it is compared with the subject's limit.
func (k *idempotency) claim(subject, id keyID, cost int, now time.Time) (*keyRecord, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.removeExpired(now)
	r := k.records[id]
	switch {
	case r == nil && !MayHoldKey(cost*k.held[subject], len(k.records)):
		return nil, KeysFull(k.held[subject], len(k.records))
	case r == nil:
		k.records[id] = &keyRecord{subject: subject, pending: true}
		k.held[subject]++
		return nil, nil
	case r.pending:
		return nil, ErrKeyInUse
	}
	return r, nil
}

// release frees the key of a failed publish.
func (k *idempotency) release(id keyID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(id)
}

// remove removes a key. mu must be held.
func (k *idempotency) remove(id keyID) {
	subject := k.records[id].subject
	delete(k.records, id)
	if k.held[subject]--; k.held[subject] == 0 {
		delete(k.held, subject)
	}
}

// complete records a successful publish. Until then, other goroutines do not read the record, because
// it is pending.
func (k *idempotency) complete(id keyID, digest Digest, receipt Receipt, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.records[id]
	r.digest, r.receipt, r.pending = digest, receipt, false
	k.expiry.push(expiring{id, now.Sub(k.start) + IdempotencyPeriod})
}

// maxExpired is the maximum number of keys that removeExpired removes before it releases the lock for a
// moment.
const maxExpired = 512

// removeExpired removes all keys that have expired. mu must be held. removeExpired releases mu for a
// moment after every maxExpired keys.
func (k *idempotency) removeExpired(now time.Time) {
	for n := 1; k.expiry.len() > 0 && k.expiry.at(0).at <= now.Sub(k.start); n++ {
		k.remove(k.expiry.pop().key)
		if n%maxExpired == 0 {
			k.mu.Unlock()
			if k.yielded != nil {
				k.yielded()
			}
			k.mu.Lock()
		}
	}
}

// len returns the number of recorded keys.
func (k *idempotency) len(now time.Time) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.removeExpired(now)
	return len(k.records)
}

// digestOf returns the digest of the events. The digest includes all members that a publisher sets. The hash
// need not be cryptographic: a publisher that constructs a collision only harms itself. A cryptographic hash
// would enlarge WebAssembly programs.
func digestOf(events []*Event) (sum Digest) {
	d := fnv.New128a()
	for _, e := range events {
		for _, member := range []string{e.Topic, e.Type, e.Key} {
			writeSized(d, []byte(member))
		}
		d.Write([]byte{byte(e.Encoding)})
		writeSized(d, e.Data)
	}
	d.Sum(sum[:0])
	return sum
}

func writeSized(d hash.Hash, b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	d.Write(n[:])
	d.Write(b)
}
