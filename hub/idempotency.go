package hub

import (
	"context"
	"encoding/binary"
	"hash"
	"hash/fnv"
	"sync"
	"time"
)

// Limits of idempotency keys (PROTOCOL section 2).
const (
	MaxIdempotencyKeyLen = 128     // bytes
	MaxIdempotencyKeys   = 100_000 // remembered at once, and none forgotten early
	IdempotencyPeriod    = 2 * time.Minute
)

// Receipt is the answer to a publish.
type Receipt struct {
	Last  Cursor // ID of the last event
	Count int
}

// idempotency remembers the answers to publishes with a key.
type idempotency struct {
	mu      sync.Mutex
	answers map[keyOf]*answer
	expiry  deque[expiring]
}

// keyOf is a key as a subject used it; subjects do not see each other's.
type keyOf struct{ subject, key string }

type answer struct {
	digest  Digest // of the events
	receipt Receipt
	busy    bool // the first publish has not ended; the rest is not set yet
}

type expiring struct {
	key keyOf
	at  time.Time
}

// Once is the use of an idempotency key by one request. Publish or Abandon ends it.
type Once struct {
	hub   *Hub
	id    keyOf
	known *answer // of an earlier publish; nil: this is the first
	over  bool
}

// Once begins a publish under an idempotency key: for two minutes after it succeeded, the same
// subject's publish of the same events under the same key gets the same Receipt and publishes
// nothing. The error is ErrKeyBusy while the first under the key has not ended, or ErrKeysFull.
func (h *Hub) Once(subject, key string) (*Once, error) {
	id := keyOf{subject, key}
	known, err := h.keys.claim(id, time.Now())
	if err != nil {
		return nil, err
	}
	return &Once{hub: h, id: id, known: known}, nil
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
	o.hub.keys.settle(o.id, &answer{digest: digest, receipt: receipt}, time.Now())
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
		return d.PublishOnce(ctx, o.id.subject, o.id.key, digest, events)
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
// settle.
func (k *idempotency) claim(id keyOf, now time.Time) (*answer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now)
	a := k.answers[id]
	switch {
	case a == nil && len(k.answers) >= MaxIdempotencyKeys:
		return nil, ErrKeysFull
	case a == nil:
		if k.answers == nil {
			k.answers = make(map[keyOf]*answer)
		}
		k.answers[id] = &answer{busy: true}
		return nil, nil
	case a.busy:
		return nil, ErrKeyBusy
	}
	return a, nil
}

// release leaves no trace of a publish that failed.
func (k *idempotency) release(id keyOf) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.answers, id)
}

// settle remembers a success.
func (k *idempotency) settle(id keyOf, a *answer, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answers[id] = a
	k.expiry.push(expiring{id, now.Add(IdempotencyPeriod)})
}

func (k *idempotency) forget(now time.Time) {
	for k.expiry.len() > 0 && !k.expiry.at(0).at.After(now) {
		delete(k.answers, k.expiry.pop().key)
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
