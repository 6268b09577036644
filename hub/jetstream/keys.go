package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// keys knows the keyed publishes of all hubs that came by on the stream, the newest
// hub.MaxIdempotencyKeys of them. JetStream remembers an ID no longer than it keeps events, and not what
// was published under it once the first event is gone.
type keys struct {
	mu    sync.Mutex
	byID  map[string]keyed
	order []string // of byID, the oldest first
}

// keyed is a publish under a key.
type keyed struct {
	once string    // as its first message says, see headerOnce
	last uint64    // sequence
	at   time.Time // when it was stored
}

// note takes a publish that came by; each comes by once.
func (k *keys) note(id string, one keyed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID = make(map[string]keyed)
	}
	now := time.Now()
	for len(k.order) > 0 && (len(k.order) == hub.MaxIdempotencyKeys || k.byID[k.order[0]].isOver(now)) {
		delete(k.byID, k.order[0])
		k.order = k.order[1:]
	}
	if _, again := k.byID[id]; !again && !one.isOver(now) {
		k.byID[id] = one
		k.order = append(k.order, id)
	}
}

// find gives the publish that came by under the ID within hub.IdempotencyPeriod.
func (k *keys) find(id string) (one keyed, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, known = k.byID[id]
	return one, known && !one.isOver(time.Now())
}

func (one keyed) isOver(now time.Time) bool { return now.Sub(one.at) >= hub.IdempotencyPeriod }

// headerOnce says of the first message of a keyed publish how many events it is and what their
// digest is.
const headerOnce = "Trivium-Once"

func onceOf(n int, digest hub.Digest) string { return fmt.Sprintf("%d %x", n, digest) }

// sizeOf reads how many events the first message of a keyed publish is one of; 0 if it is none.
func sizeOf(once string) (n uint64) {
	count, _, _ := strings.Cut(once, " ")
	n, _ = strconv.ParseUint(count, 10, 16)
	return n
}

// keyID names a subject's key, so that nobody can name another's.
func keyID(subject, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(subject), subject, key))
	return hex.EncodeToString(sum[:])
}

// PublishOnce implements hub.Deduplicator: the key's ID is the first message's, so JetStream refuses it
// a second time, be it of another hub.
func (e *Engine) PublishOnce(ctx context.Context, subject, key string, digest hub.Digest, events []*hub.Event) (hub.Cursor, error) {
	done, err := e.begin()
	if err != nil {
		return hub.Cursor{}, err
	}
	defer done()
	messages, err := e.encodeAll(events)
	if err != nil {
		return hub.Cursor{}, err
	}
	id, once := keyID(subject, key), onceOf(len(events), digest)
	if before, known := e.keys.find(id); known {
		return e.repeat(before, once)
	}
	addHeader(messages[0], jetstream.MsgIDHeader, id)
	addHeader(messages[0], headerOnce, once)
	always := func(error) bool { return ctx.Err() == nil }
	var first uint64 // of the publish that was first
	ack, err := e.retry(ctx, always, func(ctx context.Context) (ack *jetstream.PubAck, err error) {
		if ack, err = e.put(ctx, messages); hasCode(err, errDuplicate) {
			first, err = e.firstOf(ctx, id)
			return nil, err
		}
		if err == nil && ack.Duplicate {
			first = ack.Sequence
		}
		return ack, err
	})
	switch {
	case hasCode(err, errInProcess):
		return hub.Cursor{}, hub.ErrKeyBusy
	case err != nil:
		return hub.Cursor{}, e.failure(err)
	case first == 0:
		return hub.Cursor{Epoch: e.epoch, Seq: ack.Sequence}, nil
	}
	before, err := e.earlier(ctx, id, first, keyed{once: once, last: first + uint64(len(events)) - 1})
	if err != nil {
		return hub.Cursor{}, e.failure(err)
	}
	return e.repeat(before, once)
}

// repeat gives the answer to an earlier publish once more, if this one is of the same events.
func (e *Engine) repeat(before keyed, once string) (hub.Cursor, error) {
	if before.once != once {
		return hub.Cursor{}, hub.ErrKeyReused
	}
	return hub.Cursor{Epoch: e.epoch, Seq: before.last}, nil
}

// earlier gives the publish under the ID whose first message is at seq. Where that is no longer in the
// log and has not come by there is nothing to compare with: it is taken for the same as now.
func (e *Engine) earlier(ctx context.Context, id string, seq uint64, now keyed) (keyed, error) {
	ctx, cancel := e.linked(ctx, ackTimeout)
	defer cancel()
	m, err := e.getLeader(ctx, getRequest{Seq: seq})
	switch {
	case err == nil:
		return keyed{once: m.header.Get(headerOnce), last: now.last}, nil
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return keyed{}, err
	}
	if one, known := e.keys.find(id); known {
		return one, nil
	}
	return now, nil
}

// firstOf finds the message with the id. Only the answer to a message, not to a batch, names it; so
// one is sent that could not be stored even if the id were unknown.
func (e *Engine) firstOf(ctx context.Context, id string) (uint64, error) {
	probe := &nats.Msg{Subject: e.prefix + "$none", Header: nats.Header{jetstream.MsgIDHeader: {id}}}
	if e.cfg.Replicas == 1 {
		addHeader(probe, jetstream.ExpectedLastMsgIDHeader, "none has this")
	} else {
		// It is refused before it is proposed to the others, which the ID of a message would not be.
		addHeader(probe, jetstream.ExpectedLastSeqHeader, strconv.FormatUint(math.MaxInt64, 10))
	}
	ack, err := e.put(ctx, []*nats.Msg{probe})
	switch {
	case err != nil:
		return 0, err
	case !ack.Duplicate:
		return 0, errors.New("a probe was taken")
	}
	return ack.Sequence, nil
}
