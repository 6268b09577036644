package hub

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

// Limits of idempotency keys (PROTOCOL section 2).
const (
	MaxIdempotencyKeyLen = 128     // bytes
	maxIdempotencyKeys   = 100_000 // remembered at once, and none forgotten early
	idempotencyPeriod    = 2 * time.Minute
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
	digest  [sha256.Size]byte // of the events
	receipt Receipt
	busy    bool // the first publish has not ended
}

type expiring struct {
	key keyOf
	at  time.Time
}

// PublishOnce is Publish under an idempotency key: for two minutes after it succeeded, the same
// subject's publish of the same events under the same key gets the same Receipt and publishes
// nothing. The further errors are ErrKeyReused, ErrKeyBusy and ErrKeysFull.
func (h *Hub) PublishOnce(ctx context.Context, subject, key string, events ...*Event) (Receipt, error) {
	id, digest := keyOf{subject, key}, digestOf(events)
	if receipt, known, err := h.keys.claim(id, digest, time.Now()); known || err != nil {
		return receipt, err
	}
	receipt := Receipt{Count: len(events)}
	var err error
	receipt.Last, err = h.Publish(ctx, events...)
	h.keys.settle(id, receipt, err, time.Now())
	return receipt, err
}

// claim gives the remembered answer, or makes the caller the one who publishes.
func (k *idempotency) claim(id keyOf, digest [sha256.Size]byte, now time.Time) (_ Receipt, known bool, _ error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now)
	a := k.answers[id]
	switch {
	case a == nil && len(k.answers) >= maxIdempotencyKeys:
		return Receipt{}, false, ErrKeysFull
	case a == nil:
		if k.answers == nil {
			k.answers = make(map[keyOf]*answer)
		}
		k.answers[id] = &answer{digest: digest, busy: true}
		return Receipt{}, false, nil
	case a.digest != digest:
		return Receipt{}, false, ErrKeyReused
	case a.busy:
		return Receipt{}, false, ErrKeyBusy
	}
	return a.receipt, true, nil
}

// settle remembers a success; a failure leaves no trace.
func (k *idempotency) settle(id keyOf, r Receipt, err error, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		delete(k.answers, id)
		return
	}
	a := k.answers[id]
	a.receipt, a.busy = r, false
	k.expiry.push(expiring{id, now.Add(idempotencyPeriod)})
}

func (k *idempotency) forget(now time.Time) {
	for k.expiry.len() > 0 && !k.expiry.at(0).at.After(now) {
		delete(k.answers, k.expiry.pop().key)
	}
}

func (k *idempotency) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.answers)
}

// digestOf tells lists of events apart by all that a publisher sets.
func digestOf(events []*Event) (sum [sha256.Size]byte) {
	d := sha256.New()
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
