package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// infoTimeout is the timeout of requests about the stream, other than publishes and reads of
// events.
const infoTimeout = 2 * time.Second

// readTimeout is the timeout of one read of events.
const readTimeout = 5 * time.Second

// LastSeq implements hub.Log. In a cluster, a paused server may still consider itself the leader,
// and a new leader may not have applied all committed messages. LastSeq therefore requests the
// state of the stream twice, with a barrier in between. Both answers must be from the same leader,
// and most servers must follow it.
func (e *Engine) LastSeq(ctx context.Context) (uint64, error) {
	before, err := e.check(ctx)
	if err != nil {
		return 0, err
	}
	if before.Cluster == nil || len(before.Cluster.Replicas) == 0 {
		return before.State.LastSeq, nil
	}
	if err := e.barrier(ctx); err != nil {
		return 0, unavailable(err)
	}
	after, err := e.check(ctx)
	if err != nil {
		return 0, err
	}
	if after.Cluster == nil || before.Cluster.Leader != after.Cluster.Leader || !leads(before.Cluster) || !leads(after.Cluster) {
		return 0, unavailable(errors.New("the stream's leader changed, or most servers have not answered it recently"))
	}
	return after.State.LastSeq, nil
}

// leads reports whether most servers have answered the leader recently.
func leads(c *jetstream.ClusterInfo) bool {
	following := 1
	for _, r := range c.Replicas {
		if r.Current && !r.Offline && r.Active < 2*raftHeartbeat {
			following++
		}
	}
	return 2*following > len(c.Replicas)+1
}

// raftHeartbeat is the interval of a leader's heartbeats.
const raftHeartbeat = time.Second

// barrier commits an operation that changes nothing, a purge of a subject without events, and waits
// until the leader has applied it. The leader has then applied all earlier operations too.
func (e *Engine) barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	stream, err := e.js.Stream(ctx, e.cfg.Stream)
	if err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(e.noSubject()))
}

// check returns the leader's description of the stream. It returns an error if the stream is not
// the one that was opened, or if it has no leader: in that case, the answer may be from a server
// with an incomplete copy.
func (e *Engine) check(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := e.info(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if epoch, err := epochOf(&info.Config); err != nil || epoch != e.epoch {
		e.fail(e.endOfEpoch())
		return nil, unavailable(errors.New("the stream was replaced"))
	}
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return nil, unavailable(errors.New("the stream has no leader"))
	}
	e.continuity.recordLeader(info)
	if info.Cluster != nil {
		e.replicas.checkLeader(info.Cluster.Leader)
	}
	return info, nil
}

// checkReaches is like check, and also requires that the log reaches seq. If the log does not,
// acknowledged messages were lost, for example by a power loss on most servers, and JetStream would
// assign their sequences again. checkReaches then begins a new epoch and makes the engine fail.
func (e *Engine) checkReaches(ctx context.Context, seq uint64) (*jetstream.StreamInfo, error) {
	info, err := e.check(ctx)
	if err != nil || info.State.LastSeq >= seq {
		return info, err
	}
	tip, err := e.LastSeq(ctx) // a new leader may initially report a last sequence that is too low
	if err != nil || tip >= seq {
		return info, err
	}
	return nil, e.beginEpoch(ctx, fmt.Errorf("the stream %q ends at %d and was delivered up to %d: it has lost events and continues in a new epoch",
		e.cfg.Stream, tip, seq))
}

// getRequest is a request for messages (JSApiMsgGetRequest of nats-server, NATS ADR-31).
type getRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	Next      string     `json:"next_by_subj,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
}

// ReadAfter implements hub.Log with one direct get, which any replica may answer.
func (e *Engine) ReadAfter(ctx context.Context, seq uint64, limit hub.ReadLimit) ([]*hub.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	events, err := e.getBatch(ctx, getRequest{Seq: seq + 1, Batch: limit.Events, MaxBytes: limit.Bytes}, seq)
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return events, err
	}
	// The replica that answered has found no messages for this read, so read from the leader.
	info, err := e.check(ctx)
	if err != nil {
		return nil, err
	}
	m, err := e.getFromLeader(ctx, getRequest{Seq: seq + 1, Next: e.prefix + ">"})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound) && info.State.LastSeq > seq:
		return e.deletedRange(ctx, seq, info.State.LastSeq)
	case err != nil:
		return nil, unavailable(err)
	case m.seq > seq+1:
		return e.deletedRange(ctx, seq, m.seq-1)
	}
	return e.deleted(ctx, seq, min(seq+lagEvents, info.State.LastSeq)+1, limit.Events) // the answer was from a replica that is behind the leader
}

// lagEvents is the maximum number of events per read from the leader if a replica is behind the leader.
const lagEvents = 64

var errMissing = unavailable(errors.New("messages of a direct get are missing"))

// getBatch reads the answers to one direct get. Each answer contains the sequence of the previous
// one, so that a missing answer is detected.
func (e *Engine) getBatch(ctx context.Context, r getRequest, seq uint64) (events []*hub.Event, err error) {
	answers, end, err := e.ask(r)
	if err != nil {
		return nil, unavailable(err)
	}
	defer end()
	sent := uint64(0)
	for {
		m, err := e.nextAnswer(ctx, answers)
		if err != nil {
			return nil, unavailable(err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204": // the end of the batch
			if sent == 0 || m.Header.Get(jetstream.LastSequenceHeader) != strconv.FormatUint(sent, 10) {
				return nil, errMissing
			}
			return events, nil
		case "404":
			return nil, jetstream.ErrMsgNotFound
		default:
			return nil, unavailable(fmt.Errorf("direct get: %s %s", status, m.Header.Get("Description")))
		}
		at, err := headerSeq(m, jetstream.SequenceHeader)
		before, err2 := headerSeq(m, jetstream.LastSequenceHeader)
		if err := errors.Join(err, err2); err != nil {
			return nil, unavailable(fmt.Errorf("direct get: %w", err))
		}
		if before != sent {
			return nil, errMissing
		}
		if at > seq+1 {
			missing, err := e.deleted(ctx, seq, at, r.Batch)
			if err != nil {
				return nil, err
			}
			events = append(events, missing...)
			if last := missing[len(missing)-1].ID.Seq; last < at-1 {
				return events, nil // the leader had more events than limit allows
			}
		}
		events = append(events, e.got(m, at))
		sent, seq = at, at
	}
}

// ask sends a direct get of a batch. The channel has room for all answers. The caller must call end.
func (e *Engine) ask(r getRequest) (answers chan *nats.Msg, end func(), err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, nil, err
	}
	inbox := e.conn.NewInbox()
	answers = make(chan *nats.Msg, r.Batch+1) // one more for the end of the batch
	sub, err := e.conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, nil, err
	}
	end = func() { _ = sub.Unsubscribe() } // fails only if the connection is closed
	if err := e.conn.PublishRequest("$JS.API.DIRECT.GET."+e.cfg.Stream, inbox, body); err != nil {
		end()
		return nil, nil, err
	}
	return answers, end, nil
}

// nextAnswer returns the next answer to a direct get. If the server is in another process,
// nextAnswer records the time that it waited.
func (e *Engine) nextAnswer(ctx context.Context, answers chan *nats.Msg) (*nats.Msg, error) {
	select {
	case m := <-answers:
		return m, nil
	default:
	}
	begin := time.Now()
	select {
	case m := <-answers:
		if e.server == nil {
			hub.AddWaitTime(ctx, time.Since(begin))
		}
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// got returns the log element of an answer to a direct get. An invalid message becomes a deleted range.
func (e *Engine) got(m *nats.Msg, seq uint64) *hub.Event {
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return e.lostRange(seq)
	}
	return e.element(stored{seq: seq, time: at, subject: m.Header.Get(jetstream.SubjectHeader), header: m.Header, data: m.Data})
}

func headerSeq(m *nats.Msg, name string) (uint64, error) {
	return strconv.ParseUint(m.Header.Get(name), 10, 64)
}

// SeqAt implements hub.Log. If the clocks of leaders differed, the position that it returns may be
// earlier than necessary.
func (e *Engine) SeqAt(ctx context.Context, t time.Time) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	info, err := e.check(ctx)
	switch {
	case err != nil:
		return 0, err
	case info.State.Msgs == 0 && !info.State.LastTime.IsZero() && info.State.LastTime.Before(t):
		return info.State.LastSeq, nil
	case info.State.Msgs == 0 || !info.State.FirstTime.Before(t):
		return 0, nil
	}
	regression, err := e.clockRegression(ctx, info.State.FirstSeq, info.State.LastSeq)
	if err != nil {
		return 0, unavailable(err)
	}
	from := t.Add(-regression)
	m, err := e.getFromLeader(ctx, getRequest{StartTime: &from, Next: e.prefix + ">"})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // all messages are earlier, or the last one was deleted
		return info.State.LastSeq, nil
	case err != nil:
		return 0, unavailable(err)
	case regression == 0:
		return m.seq - 1, nil
	}
	return e.firstSince(ctx, m.seq-1, info.State.LastSeq, t)
}

// stored is a message as the leader stores it.
type stored struct {
	seq     uint64
	time    time.Time
	subject string
	header  nats.Header
	data    []byte
}

// getFromLeader reads one message from the leader. The error is jetstream.ErrMsgNotFound if the leader has
// no such message.
func (e *Engine) getFromLeader(ctx context.Context, r getRequest) (stored, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return stored{}, err
	}
	m, err := e.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+e.cfg.Stream, body)
	if err != nil {
		return stored{}, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Seq     uint64    `json:"seq"`
			Time    time.Time `json:"time"`
			Subject string    `json:"subject"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return stored{}, err
	}
	if answer.Error != nil {
		return stored{}, answer.Error
	}
	got := stored{seq: answer.Message.Seq, time: answer.Message.Time, subject: answer.Message.Subject, data: answer.Message.Data}
	if len(answer.Message.Header) > 0 {
		got.header, err = nats.DecodeHeadersMsg(answer.Message.Header)
	}
	return got, err
}
