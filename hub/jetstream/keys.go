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

// keys remembers the newest publishes that have an idempotency key, at most hub.MaxIdempotencyKeys. The
// engine reads them from the stream, so they include the publishes of all hubs. JetStream alone does not
// suffice: it removes an ID when the events expire, and cannot return the result of a publish after its
// first event was removed.
//
// Each publisher, identified by the subject of its token, may hold only a share of the keys. Keys
// that it sent to other hubs count too, because it may publish through several hubs.
type keys struct {
	mu    sync.Mutex
	byID  map[idHash]keyedPublish
	order []idHash              // IDs in byID, oldest first
	held  map[publisherHash]int // number of keys in byID, by publisher
}

// idHash and publisherHash are short hashes of a message ID and of a subject (see keyID and
// publisherOf). With hashes, each key uses the same memory, regardless of the lengths of the ID and
// the subject.
type (
	idHash        [16]byte
	publisherHash [8]byte
)

// keyedPublish is a publish with an idempotency key.
type keyedPublish struct {
	content   keyedContent
	last      uint64        // sequence of its last event
	at        time.Time     // time at which it was stored
	publisher publisherHash // zero: the publishing hub stored no publisher
}

// add records a publish that was read from the stream.
func (k *keys) add(id string, one keyedPublish) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID, k.held = make(map[idHash]keyedPublish), make(map[publisherHash]int)
	}
	now := time.Now()
	if one.at.After(now) {
		one.at = now // the leader's clock was ahead
	}
	k.evict(now, hub.MaxIdempotencyKeys-1)
	hash := hashOf(id)
	if _, again := k.byID[hash]; !again && !one.expired(now) {
		k.byID[hash] = one
		k.order = append(k.order, hash)
		k.held[one.publisher]++
	}
}

// evict removes the expired publishes, and then the oldest ones until at most limit are left.
func (k *keys) evict(now time.Time, limit int) {
	for len(k.order) > 0 && (len(k.order) > limit || k.byID[k.order[0]].expired(now)) {
		publisher := k.byID[k.order[0]].publisher
		if k.held[publisher]--; k.held[publisher] == 0 {
			delete(k.held, publisher)
		}
		delete(k.byID, k.order[0])
		k.order = k.order[1:]
	}
}

// lookup returns the publish with the ID, if it was read from the stream within hub.IdempotencyPeriod.
func (k *keys) lookup(id string) (one keyedPublish, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, known = k.byID[hashOf(id)]
	return one, known && !one.expired(time.Now())
}

// admit returns hub.ErrKeysFull if the publisher already holds its share of the keys.
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

// Headers of the first message of a publish with an idempotency key.
const (
	headerContent   = "Trivium-Once"      // number of events and their digest
	headerPublisher = "Trivium-Publisher" // hash of the subject, see publisherOf
)

// keyedContent is the value of headerContent. events is 0 if the header is missing or invalid.
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

// publisherOf returns a hash of the subject. The stream contains only the hash, so that the subject
// is hidden from other readers of the stream.
func publisherOf(subject string) (p publisherHash) {
	sum := sha256.Sum256([]byte("publisher " + subject))
	return publisherHash(sum[:])
}

func parsePublisher(text string) (p publisherHash) {
	if len(text) == hex.EncodedLen(len(p)) {
		_, _ = hex.Decode(p[:], []byte(text)) // a string that is not hexadecimal yields the zero publisher
	}
	return p
}

// keyedOf reports whether a message is the first one of a publish with an idempotency key, and
// returns that publish.
func keyedOf(headers nats.Header, seq uint64, at time.Time) (id string, one keyedPublish, ok bool) {
	o := parseContent(headers.Get(headerContent))
	if o.events == 0 {
		return "", keyedPublish{}, false
	}
	one = keyedPublish{content: o, last: seq + o.events - 1, at: at, publisher: parsePublisher(headers.Get(headerPublisher))}
	return headers.Get(jetstream.MsgIDHeader), one, true
}

// keyID returns the message ID for a subject's key. It begins with the length of the subject, so that
// no subject can use the keys of another subject.
func keyID(subject, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(subject), subject, key))
	return hex.EncodeToString(sum[:])
}

// PublishOnce implements hub.IdempotentPublisher. The first message carries the ID of the key, so
// that JetStream rejects a second publish with the same key from any hub.
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
	var first uint64 // sequence of the first event of an earlier publish with this key; 0: none
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

// repeatAnswer returns the cursor of the earlier publish if it had the same events, otherwise
// hub.ErrKeyReused.
func (e *Engine) repeatAnswer(before keyedPublish, this keyedContent) (hub.Cursor, error) {
	if before.content != this {
		return hub.Cursor{}, hub.ErrKeyReused
	}
	return hub.Cursor{Epoch: e.epoch, Seq: before.last}, nil
}

// storedPublish returns the earlier publish whose first message has the sequence seq and the given ID.
// If that message was removed and e.keys does not contain the publish either, the content of the publish is
// unknown. In that case, storedPublish returns the parameter current, which describes the caller's publish.
func (e *Engine) storedPublish(ctx context.Context, id string, seq uint64, current keyedPublish) (keyedPublish, error) {
	ctx, cancel := e.linked(ctx, e.timeouts.ack)
	defer cancel()
	m, err := e.getFromLeader(ctx, getRequest{Seq: seq})
	switch {
	case err == nil:
		return keyedPublish{content: parseContent(m.header.Get(headerContent)), last: current.last}, nil
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return keyedPublish{}, err
	}
	if one, known := e.keys.lookup(id); known {
		return one, nil
	}
	return current, nil
}

// seqOfID returns the sequence of the message with the ID. JetStream returns that sequence only for
// a single message, not for a batch. Therefore seqOfID sends a single message that JetStream would
// reject even without the ID.
func (e *Engine) seqOfID(ctx context.Context, id string) (uint64, error) {
	probe := &nats.Msg{Subject: e.noSubject(), Header: nats.Header{jetstream.MsgIDHeader: {id}}}
	if e.cfg.Replicas == 1 {
		addHeader(probe, jetstream.ExpectedLastMsgIDHeader, "none has this")
	} else {
		// With several replicas, JetStream checks the expected last sequence before it replicates
		// the message. It checks the expected last ID only afterwards.
		addHeader(probe, jetstream.ExpectedLastSeqHeader, strconv.FormatUint(math.MaxInt64, 10))
	}
	ack, err := e.publishVerified(ctx, []*nats.Msg{probe})
	switch {
	case err != nil:
		return 0, err
	case !ack.Duplicate:
		return 0, errors.New("JetStream stored a probe message")
	}
	return ack.Sequence, nil
}
