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
//
// A subject has a share of them, as it has of the keys of a hub: it may publish through many hubs.
type keys struct {
	mu    sync.Mutex
	byID  map[idHash]keyedPublish
	order []idHash              // of byID, the oldest first
	held  map[publisherHash]int // keys of byID, by publisher
}

// idHash stands for the ID of a message, and publisherHash for a subject, as keyID and publisherOf give
// them: a key takes as much memory however long they are.
type (
	idHash        [16]byte
	publisherHash [8]byte
)

// keyedPublish is a publish under a key.
type keyedPublish struct {
	content   keyedContent
	last      uint64        // sequence
	at        time.Time     // when it was stored
	publisher publisherHash // zero: a hub published it that does not name it
}

// note takes a publish that came by; each comes by once.
func (k *keys) add(id string, one keyedPublish) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID, k.held = make(map[idHash]keyedPublish), make(map[publisherHash]int)
	}
	now := time.Now()
	if one.at.After(now) {
		one.at = now // the leader's clock is ahead
	}
	k.evict(now, hub.MaxIdempotencyKeys-1)
	hash := hashOf(id)
	if _, again := k.byID[hash]; !again && !one.expired(now) {
		k.byID[hash] = one
		k.order = append(k.order, hash)
		k.held[one.publisher]++
	}
}

// forget removes what is over, and the oldest beyond the most that are to be left.
func (k *keys) evict(now time.Time, most int) {
	for len(k.order) > 0 && (len(k.order) > most || k.byID[k.order[0]].expired(now)) {
		publisher := k.byID[k.order[0]].publisher
		if k.held[publisher]--; k.held[publisher] == 0 {
			delete(k.held, publisher)
		}
		delete(k.byID, k.order[0])
		k.order = k.order[1:]
	}
}

// find gives the publish that came by under the ID within hub.IdempotencyPeriod.
func (k *keys) lookup(id string) (one keyedPublish, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, known = k.byID[hashOf(id)]
	return one, known && !one.expired(time.Now())
}

// admit gives hub.ErrKeysFull if the publisher has used up its share on all hubs together.
func (k *keys) admit(publisher publisherHash) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.evict(time.Now(), hub.MaxIdempotencyKeys)
	if held := k.held[publisher]; !hub.MayHoldKey(held, len(k.order)) {
		return hub.KeysFull(held, len(k.order))
	}
	return nil
}

func (one keyedPublish) expired(now time.Time) bool { return now.Sub(one.at) >= hub.IdempotencyPeriod }

func hashOf(id string) idHash {
	sum := sha256.Sum256([]byte(id))
	return idHash(sum[:])
}

// Headers of the first message of a keyed publish.
const (
	headerContent   = "Trivium-Once"      // how many events it is and what their digest is
	headerPublisher = "Trivium-Publisher" // whose key it is, see publisherOf
)

// once is what headerContent says; of zero events where it says nothing.
type keyedContent struct {
	events uint64
	digest hub.Digest
}

func (o keyedContent) String() string { return fmt.Sprintf("%d %x", o.events, o.digest) }

func parseContent(text string) (o keyedContent) {
	count, digest, _ := strings.Cut(text, " ")
	events, err := strconv.ParseUint(count, 10, 16)
	if err != nil || len(digest) != hex.EncodedLen(len(o.digest)) {
		return keyedContent{}
	}
	if _, err := hex.Decode(o.digest[:], []byte(digest)); err != nil {
		return keyedContent{}
	}
	o.events = events
	return o
}

// publisherOf names a subject to all hubs, without telling who reads the stream what it is called.
func publisherOf(subject string) (p publisherHash) {
	sum := sha256.Sum256([]byte("publisher " + subject))
	return publisherHash(sum[:])
}

func parsePublisher(text string) (p publisherHash) {
	if len(text) == hex.EncodedLen(len(p)) {
		_, _ = hex.Decode(p[:], []byte(text)) // what is none is a publisher as well
	}
	return p
}

// keyedOf reads from the headers of a message whether a keyed publish begins with it.
func keyedOf(headers nats.Header, seq uint64, at time.Time) (id string, one keyedPublish, ok bool) {
	o := parseContent(headers.Get(headerContent))
	if o.events == 0 {
		return "", keyedPublish{}, false
	}
	one = keyedPublish{content: o, last: seq + o.events - 1, at: at, publisher: parsePublisher(headers.Get(headerPublisher))}
	return headers.Get(jetstream.MsgIDHeader), one, true
}

// keyID names a subject's key, so that nobody can name another's.
func keyID(subject, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(subject), subject, key))
	return hex.EncodeToString(sum[:])
}

// PublishOnce implements hub.IdempotentPublisher: the key's ID is the first message's, so JetStream refuses it
// a second time, be it of another hub.
func (e *Engine) PublishOnce(ctx context.Context, subject, key string, digest hub.Digest, events []*hub.Event) (hub.Cursor, error) {
	done, err := e.beginPublish()
	if err != nil {
		return hub.Cursor{}, err
	}
	defer done()
	messages, err := e.encodeAll(events)
	if err != nil {
		return hub.Cursor{}, err
	}
	id, this, publisher := keyID(subject, key), keyedContent{uint64(len(events)), digest}, publisherOf(subject)
	if before, known := e.keys.lookup(id); known {
		return e.repeatAnswer(before, this)
	}
	if err := e.keys.admit(publisher); err != nil {
		return hub.Cursor{}, err
	}
	leave, err := e.enterLane(ctx, events)
	if err != nil {
		return hub.Cursor{}, err
	}
	defer leave()
	addHeader(messages[0], jetstream.MsgIDHeader, id)
	addHeader(messages[0], headerContent, this.String())
	addHeader(messages[0], headerPublisher, hex.EncodeToString(publisher[:]))
	always := func(error) bool { return ctx.Err() == nil }
	var first uint64 // of the publish that was first
	ack, err := e.retry(ctx, always, func(ctx context.Context) (ack *jetstream.PubAck, err error) {
		if ack, err = e.publishVerified(ctx, messages); hasCode(err, errDuplicate) {
			first, err = e.seqOfID(ctx, id)
			return nil, err
		}
		if err == nil && ack.Duplicate {
			first = ack.Sequence
		}
		return ack, err
	})
	switch {
	case hasCode(err, errInProcess):
		return hub.Cursor{}, hub.ErrKeyInUse
	case err != nil:
		return hub.Cursor{}, e.publishError(err)
	case first == 0:
		return hub.Cursor{Epoch: e.epoch, Seq: ack.Sequence}, nil
	}
	before, err := e.storedPublish(ctx, id, first, keyedPublish{content: this, last: first + uint64(len(events)) - 1})
	if err != nil {
		return hub.Cursor{}, e.publishError(err)
	}
	return e.repeatAnswer(before, this)
}

// repeat gives the answer to an earlier publish once more, if this one is of the same events.
func (e *Engine) repeatAnswer(before keyedPublish, this keyedContent) (hub.Cursor, error) {
	if before.content != this {
		return hub.Cursor{}, hub.ErrKeyReused
	}
	return hub.Cursor{Epoch: e.epoch, Seq: before.last}, nil
}

// earlier gives the publish under the ID whose first message is at seq. Where that is no longer in the
// log and has not come by there is nothing to compare with: it is taken for the same as now.
func (e *Engine) storedPublish(ctx context.Context, id string, seq uint64, now keyedPublish) (keyedPublish, error) {
	ctx, cancel := e.linked(ctx, ackTimeout)
	defer cancel()
	m, err := e.getLeader(ctx, getRequest{Seq: seq})
	switch {
	case err == nil:
		return keyedPublish{content: parseContent(m.header.Get(headerContent)), last: now.last}, nil
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return keyedPublish{}, err
	}
	if one, known := e.keys.lookup(id); known {
		return one, nil
	}
	return now, nil
}

// seqOfID finds the message with the id. Only the answer to a message, not to a batch, names it; so
// one is sent that could not be stored even if the id were unknown.
func (e *Engine) seqOfID(ctx context.Context, id string) (uint64, error) {
	probe := &nats.Msg{Subject: e.noSubject(), Header: nats.Header{jetstream.MsgIDHeader: {id}}}
	if e.cfg.Replicas == 1 {
		addHeader(probe, jetstream.ExpectedLastMsgIDHeader, "none has this")
	} else {
		// It is refused before it is proposed to the others, which the ID of a message would not be.
		addHeader(probe, jetstream.ExpectedLastSeqHeader, strconv.FormatUint(math.MaxInt64, 10))
	}
	ack, err := e.publishVerified(ctx, []*nats.Msg{probe})
	switch {
	case err != nil:
		return 0, err
	case !ack.Duplicate:
		return 0, errors.New("a probe was taken")
	}
	return ack.Sequence, nil
}
