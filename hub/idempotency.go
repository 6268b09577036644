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
	answers map[keyID]*answer
	held    map[keyID]int // keys in answers, by subject
	expiry  deque[expiring]

	yielded func() // for tests: called by forget while it does not hold mu; static
}

func newIdempotency() *idempotency {
	return &idempotency{
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		start:   time.Now(),
		answers: make(map[keyID]*answer),
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

type answer struct {
	subject keyID
	digest  Digest // of the events
	receipt Receipt
	busy    bool // the first publish has not ended; digest and receipt are not set yet
}

type expiring struct {
	key keyID
	at  time.Duration // since idempotency.start: a clock that is set forward ends no key
}

// Once is the use of an idempotency key by one request. Publish or Abandon ends it.
type Once struct {
	hub          *Hub
	subject, key string
	id           keyID   // of subject and key
	known        *answer // of an earlier publish; nil: this is the first
	over         bool
	spare        bool // made by OnceIfSpare; static
}

// Once begins a publish under an idempotency key: for two minutes after it succeeded, the same
// subject's publish of the same events under the same key gets the same Receipt and publishes
// nothing. The error is ErrKeyBusy while the first under the key has not ended, or wraps ErrKeysFull,
// where the subject's share of the keys or all of them are used up.
func (h *Hub) Once(subject, key string) (*Once, error) {
	id := h.keys.idOf(subject, key)
	known, err := h.keys.claim(h.keys.idOf(subject), id, 1, time.Now())
	if err != nil {
		return nil, err
	}
	return &Once{hub: h, subject: subject, key: key, id: id, known: known}, nil
}

// OnceIfSpare is Once for a key that the publisher did not ask for. It leaves half of the subject's share
// of the keys to others: where that is not free, it returns nil, and Stats.KeysSpared counts it.
func (h *Hub) OnceIfSpare(subject, key string) (*Once, error) {
	id := h.keys.idOf(subject, key)
	known, err := h.keys.claim(h.keys.idOf(subject), id, 2, time.Now())
	switch {
	case errors.Is(err, ErrKeysFull):
		h.stats.keysSpared.Add(1)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &Once{hub: h, subject: subject, key: key, id: id, known: known, spare: true}, nil
}

// Publish is Hub.Publish, once. A further error is ErrKeyReused, where the key stands for other
// events.
func (o *Once) Publish(ctx context.Context, events ...*Event) (Receipt, error) {
	digest := digestOf(events)
	if o.known != nil {
		if o.known.digest != digest {
			return Receipt{}, ErrKeyReused
		}
		return o.known.receipt, nil
	}
	last, err := o.publish(ctx, digest, events)
	if err != nil {
		o.Abandon()
		return Receipt{}, err
	}
	o.over = true
	receipt := Receipt{Last: last, Count: len(events)}
	o.hub.keys.settle(o.id, digest, receipt, time.Now())
	return receipt, nil
}

// publish has the engine remember the publish too, if it can: an answer that was lost on its way
// here is found again, and hubs that share a log share its keys.
func (o *Once) publish(ctx context.Context, digest Digest, events []*Event) (Cursor, error) {
	d, ok := o.hub.engine.(Deduplicator)
	if !ok {
		return o.hub.Publish(ctx, events...)
	}
	last, err := o.hub.publish(events, func() (Cursor, error) {
		last, err := d.PublishOnce(ctx, o.subject, o.key, digest, events)
		if o.spare && errors.Is(err, ErrKeysFull) { // of all hubs together; nothing was published
			o.hub.stats.keysSpared.Add(1)
			return o.hub.engine.Publish(ctx, events)
		}
		return last, err
	})
	if err == nil {
		o.hub.echo(ctx, last)
	}
	return last, err
}

// Abandon gives the key up if Publish was not called. A nil Once has none.
func (o *Once) Abandon() {
	if o == nil || o.over {
		return
	}
	if o.known == nil {
		o.hub.keys.release(o.id)
	}
	o.over = true
}

// PublishOnce is Once and its Publish in one.
func (h *Hub) PublishOnce(ctx context.Context, subject, key string, events ...*Event) (Receipt, error) {
	o, err := h.Once(subject, key)
	if err != nil {
		return Receipt{}, err
	}
	return o.Publish(ctx, events...)
}

// claim gives the remembered answer; nil makes the caller the first, who ends it with release or
// settle. The key counts as cost keys toward the subject's share.
func (k *idempotency) claim(subject, id keyID, cost int, now time.Time) (*answer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now)
	a := k.answers[id]
	switch {
	case a == nil && !MayHoldKey(cost*k.held[subject], len(k.answers)):
		return nil, KeysFull(k.held[subject], len(k.answers))
	case a == nil:
		k.answers[id] = &answer{subject: subject, busy: true}
		k.held[subject]++
		return nil, nil
	case a.busy:
		return nil, ErrKeyBusy
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
	subject := k.answers[id].subject
	delete(k.answers, id)
	if k.held[subject]--; k.held[subject] == 0 {
		delete(k.held, subject)
	}
}

// settle remembers a success. Who has looked at the answer before has seen that it is busy, and no more.
func (k *idempotency) settle(id keyID, digest Digest, receipt Receipt, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.answers[id]
	a.digest, a.receipt, a.busy = digest, receipt, false
	k.expiry.push(expiring{id, now.Sub(k.start) + IdempotencyPeriod})
}

// maxForgotten bounds the keys that forget removes in one hold of the lock.
const maxForgotten = 512

// forget removes the keys whose time is over. Called with mu held, which it releases where they are many; when
// it returns none is left.
func (k *idempotency) forget(now time.Time) {
	for n := 1; k.expiry.len() > 0 && k.expiry.at(0).at <= now.Sub(k.start); n++ {
		k.remove(k.expiry.pop().key)
		if n%maxForgotten == 0 {
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
	k.forget(now)
	return len(k.answers)
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
