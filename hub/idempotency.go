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
	MaxIdempotencyKeys   = 100_000 // remembered at once, of all subjects, and none forgotten early
	IdempotencyPeriod    = 2 * time.Minute
)

// Receipt is the answer to a publish.
type Receipt struct {
	Last  Cursor // ID of the last event
	Count int
}

// keyShare is how many keys must be free for each that a subject holds, for it to claim another. So one
// subject alone holds a fifth of all at most; the more hold many, the less each may, and while there is
// any free key, one who holds none finds it.
const keyShare = 4

// MayHoldKey reports whether a subject that holds so many idempotency keys may hold another, when so many
// are remembered in all.
func MayHoldKey(held, remembered int) bool {
	return held*keyShare < MaxIdempotencyKeys-remembered
}

// KeysFull returns the ErrKeysFull of a subject that may not hold another key: it names the limit.
func KeysFull(held, remembered int) error {
	if remembered >= MaxIdempotencyKeys {
		return fmt.Errorf("%w: %d of all tokens, the hub's limit", ErrKeysFull, remembered)
	}
	return fmt.Errorf("%w: %d of this token, its share of %d", ErrKeysFull, held, MaxIdempotencyKeys)
}

// idempotency remembers the answers to publishes with a key. Of keys and subjects it keeps hashes, so
// that an entry takes as much memory however long they are.
type idempotency struct {
	seeds [2]maphash.Seed // static
	start time.Time       // static

	mu      sync.Mutex
	records map[keyID]*keyRecord
	held    map[keyID]int // keys in answers, by subject
	expiry  deque[expiring]

	yielded func() // for tests: called by forget while it does not hold mu; static
}

func newIdempotency() *idempotency {
	return &idempotency{
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		start:   time.Now(),
		records: make(map[keyID]*keyRecord),
		held:    make(map[keyID]int),
	}
}

// keyID is the hash of a subject, or of a key as a subject used it: subjects do not see each other's. The
// seeds are random, so nobody can choose a name that has the hash of another.
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
	digest  Digest // of the events
	receipt Receipt
	pending bool // the first publish has not ended; digest and receipt are not set yet
}

type expiring struct {
	key keyID
	at  time.Duration // since idempotency.start: a clock that is set forward ends no key
}

// KeyClaim is the use of an idempotency key by one request. Publish or Abandon ends it.
type KeyClaim struct {
	hub          *Hub
	subject, key string
	id           keyID      // of subject and key
	earlier      *keyRecord // of an earlier publish; nil: this is the first
	ended        bool
	ifSpare      bool // made by ClaimKeyIfSpare; static
}

// ClaimKey begins a publish under an idempotency key: for two minutes after it succeeded, the same
// subject's publish of the same events under the same key gets the same Receipt and publishes
// nothing. The error is ErrKeyBusy while the first under the key has not ended, or wraps ErrKeysFull,
// where the subject's share of the keys or all of them are used up.
func (h *Hub) ClaimKey(subject, key string) (*KeyClaim, error) {
	id := h.keys.idOf(subject, key)
	known, err := h.keys.claim(h.keys.idOf(subject), id, 1, time.Now())
	if err != nil {
		return nil, err
	}
	return &KeyClaim{hub: h, subject: subject, key: key, id: id, earlier: known}, nil
}

// ClaimKeyIfSpare is Once for a key that the publisher did not ask for. It leaves half of the subject's share
// of the keys to others: where that is not free, it returns nil, and Stats.KeysSpared counts it.
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

// Publish is Hub.Publish, once. A further error is ErrKeyReused, where the key stands for other
// events.
func (o *KeyClaim) Publish(ctx context.Context, events ...*Event) (Receipt, error) {
	digest := digestOf(events)
	if o.earlier != nil {
		if o.earlier.digest != digest {
			return Receipt{}, ErrKeyReused
		}
		return o.earlier.receipt, nil
	}
	last, err := o.publish(ctx, digest, events)
	if err != nil {
		o.Abandon()
		return Receipt{}, err
	}
	o.ended = true
	receipt := Receipt{Last: last, Count: len(events)}
	o.hub.keys.complete(o.id, digest, receipt, time.Now())
	return receipt, nil
}

// publish has the engine remember the publish too, if it can: an answer that was lost on its way
// here is found again, and hubs that share a log share its keys.
func (o *KeyClaim) publish(ctx context.Context, digest Digest, events []*Event) (Cursor, error) {
	d, ok := o.hub.engine.(IdempotentPublisher)
	if !ok {
		return o.hub.Publish(ctx, events...)
	}
	last, err := o.hub.publish(events, func() (Cursor, error) {
		last, err := d.PublishOnce(ctx, o.subject, o.key, digest, events)
		if o.ifSpare && errors.Is(err, ErrKeysFull) { // of all hubs together; nothing was published
			o.hub.stats.keysSpared.Add(1)
			return o.hub.engine.Publish(ctx, events)
		}
		return last, err
	})
	if err == nil {
		o.hub.waitOwnWrite(ctx, last)
	}
	return last, err
}

// Abandon gives the key up if Publish was not called. A nil Once has none.
func (o *KeyClaim) Abandon() {
	if o == nil || o.ended {
		return
	}
	if o.earlier == nil {
		o.hub.keys.release(o.id)
	}
	o.ended = true
}

// PublishOnce is Once and its Publish in one.
func (h *Hub) PublishOnce(ctx context.Context, subject, key string, events ...*Event) (Receipt, error) {
	o, err := h.ClaimKey(subject, key)
	if err != nil {
		return Receipt{}, err
	}
	return o.Publish(ctx, events...)
}

// claim gives the remembered answer; nil makes the caller the first, who ends it with release or
// settle. The key counts as cost keys toward the subject's share.
func (k *idempotency) claim(subject, id keyID, cost int, now time.Time) (*keyRecord, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.removeExpired(now)
	a := k.records[id]
	switch {
	case a == nil && !MayHoldKey(cost*k.held[subject], len(k.records)):
		return nil, KeysFull(k.held[subject], len(k.records))
	case a == nil:
		k.records[id] = &keyRecord{subject: subject, pending: true}
		k.held[subject]++
		return nil, nil
	case a.pending:
		return nil, ErrKeyInUse
	}
	return a, nil
}

// release leaves no trace of a publish that failed.
func (k *idempotency) release(id keyID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(id)
}

// remove forgets a key. Called with mu held.
func (k *idempotency) remove(id keyID) {
	subject := k.records[id].subject
	delete(k.records, id)
	if k.held[subject]--; k.held[subject] == 0 {
		delete(k.held, subject)
	}
}

// complete remembers a success. Who has looked at the answer before has seen that it is busy, and no more.
func (k *idempotency) complete(id keyID, digest Digest, receipt Receipt, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.records[id]
	a.digest, a.receipt, a.pending = digest, receipt, false
	k.expiry.push(expiring{id, now.Sub(k.start) + IdempotencyPeriod})
}

// maxExpired bounds the keys that forget removes in one hold of the lock.
const maxExpired = 512

// removeExpired removes the keys whose time is over. Called with mu held, which it releases where they are many; when
// it returns none is left.
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

// len gives how many keys are remembered.
func (k *idempotency) len(now time.Time) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.removeExpired(now)
	return len(k.records)
}

// Digest stands for a list of events, in every process the same.
type Digest [16]byte

// digestOf tells lists of events apart by all that a publisher sets. The hash need not withstand an
// attack: who makes two of its own publishes collide deceives itself alone. And a page, which has the
// hub's types in its program, need not load a cryptographic one.
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
