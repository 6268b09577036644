package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// ReadMatching reads the events of a few subjects without the events between them. Unlike a read of
// the whole stream, such a read does not show deleted ranges, so they are requested from the
// leader.

// Limits of a read of a few subjects. Above them, a read of the whole stream is cheaper.
const (
	maxSubjects = 16
	maxDeleted  = 1 << 17 // maximum number of deleted messages in the stream: for each such read, the leader lists all of them
)

// subjectRead is the result of a direct get for one subject.
type subjectRead struct {
	subject string
	seqs    []uint64
	events  []*hub.Event // parallel to seqs
	upTo    uint64       // the read is complete up to this sequence
}

// ReadMatching implements hub.MatchReader: JetStream finds the next message of a subject without reading the messages
// before it.
func (e *Engine) ReadMatching(ctx context.Context, set hub.FilterSet, seq, through uint64, limit hub.ReadLimit) ([]*hub.Event, error) {
	ctx, cancel := e.linked(ctx, seekTimeout)
	defer cancel()
	reached := e.follows.reached()
	subjects, err := e.fewSubjects(ctx, set)
	if err != nil {
		return nil, unavailable(err)
	}
	each := hub.ReadLimit{Events: max(1, limit.Events/max(1, len(subjects))), Bytes: max(1, limit.Bytes/max(1, len(subjects)))}
	reads, err := concurrently(len(subjects), func(i int) (subjectRead, error) {
		return e.readSubject(ctx, subjects[i], seq, through, each)
	})
	if err != nil {
		return nil, unavailable(err)
	}
	upTo := through
	for _, r := range reads {
		upTo = min(upTo, r.upTo)
	}
	var found []*hub.Event
	for _, r := range reads {
		n, _ := slices.BinarySearch(r.seqs, upTo+1)
		if err := e.confirm(ctx, r.subject, seq+1, r.seqs[:n], upTo); err != nil {
			return nil, unavailable(err)
		}
		found = append(found, r.events[:n]...)
	}
	slices.SortFunc(found, func(a, b *hub.Event) int { return cmp.Compare(a.ID.Seq, b.ID.Seq) })
	// The deleted ranges are requested after the subjects were read, so that they include the messages
	// that were deleted before or during these reads.
	missing, err := e.missingSpans(ctx, seq, upTo, reached)
	if err != nil {
		return nil, unavailable(err)
	}
	lost, err := e.lostRanges(ctx, missing)
	if err != nil {
		return nil, err
	}
	if len(lost) > 0 && e.cfg.Replicas > 1 {
		return nil, unavailable(errors.New("another replica may have the events that the leader has lost")) // ReadAfter reads from all replicas
	}
	elements := e.arrange(seq, upTo, found, missing, lost)
	return elements[:min(len(elements), limit.Events)], nil
}

// fewSubjects returns the subjects of the stream that match the filter set, or an error if there are more
// than maxSubjects.
func (e *Engine) fewSubjects(ctx context.Context, set hub.FilterSet) (subjects []string, err error) {
	errTooMany := fmt.Errorf("more than %d subjects are selected", maxSubjects)
	if set.Len() > maxSubjects {
		return nil, errTooMany
	}
	for f := range set.All() {
		if f.Exact() {
			subjects = append(subjects, e.prefix+f.String())
			continue
		}
		found, err := e.subjects(ctx, e.prefix+f.String())
		if err != nil {
			return nil, err
		}
		for subject := range found {
			if !set.Match(subject[len(e.prefix):]) {
				continue // the subject of erasures
			}
			if subjects = append(subjects, subject); len(subjects) > set.Len()*maxSubjects {
				return nil, errTooMany
			}
		}
	}
	slices.Sort(subjects)
	if subjects = slices.Compact(subjects); len(subjects) > maxSubjects { // removes duplicates, because filters may overlap
		return nil, errTooMany
	}
	return subjects, nil
}

// readSubject reads the messages of a subject in the range (seq, through].
func (e *Engine) readSubject(ctx context.Context, subject string, seq, through uint64, limit hub.ReadLimit) (subjectRead, error) {
	r := subjectRead{subject: subject, upTo: through}
	last := seq
	request := getRequest{Seq: seq + 1, Next: subject, Batch: limit.Events, MaxBytes: limit.Bytes}
	more, err := e.eachAnswer(ctx, request, func(m *nats.Msg, at uint64) {
		if at <= through {
			r.seqs, r.events = append(r.seqs, at), append(r.events, e.got(m, at))
		}
		last = at
	})
	if more && last < through {
		r.upTo = last
	}
	return r, err
}

// eachAnswer sends a direct get of a batch, calls take with each message of the answer, and reports
// whether the stream may have more messages. Each message contains the sequence of the previous
// one, so that a missing message is detected.
func (e *Engine) eachAnswer(ctx context.Context, r getRequest, take func(m *nats.Msg, seq uint64)) (more bool, err error) {
	answers, end, err := e.ask(r)
	if err != nil {
		return false, err
	}
	defer end()
	sent := uint64(0)
	for n := 0; ; n++ {
		m, err := e.nextAnswer(ctx, answers)
		if err != nil {
			return false, err
		}
		switch status := m.Header.Get("Status"); status {
		case "", "204":
		case "404":
			return false, nil
		default:
			return false, errors.New("direct get: " + status)
		}
		before, err := headerSeq(m, jetstream.LastSequenceHeader)
		left, err2 := headerSeq(m, headerPending)
		if err := errors.Join(err, err2); err != nil {
			return false, err
		}
		if before != sent {
			return false, errMissing
		}
		if m.Header.Get("Status") != "" {
			return n > 0 && (left > 0 || n == r.Batch), nil
		}
		if sent, err = headerSeq(m, jetstream.SequenceHeader); err != nil {
			return false, err
		}
		take(m, sent)
	}
}

// confirm checks that the leader's messages of the subject in [from, upTo] are exactly the messages
// that a replica has returned. It requests the messages from the leader one by one.
func (e *Engine) confirm(ctx context.Context, subject string, from uint64, found []uint64, upTo uint64) error {
	if e.cfg.Replicas == 1 {
		return nil
	}
	_, err := concurrently(len(found)+1, func(i int) (struct{}, error) {
		request := getRequest{Seq: from, Next: subject}
		if i > 0 {
			request.Seq = found[i-1] + 1
		}
		m, err := e.getFromLeader(ctx, request)
		last := i == len(found)
		switch {
		case last && errors.Is(err, jetstream.ErrMsgNotFound), last && err == nil && m.seq > upTo:
			return struct{}{}, nil
		case err == nil && (last || m.seq != found[i]):
			err = errMissing
		}
		return struct{}{}, err
	})
	return err
}

// span is the range of sequences (after, through].
type span struct{ after, through uint64 }

// missingSpans returns the ranges in (after, through] in which the leader has no messages, in order. It
// returns an error if the leader does not answer, if its list of deleted messages is too long or incomplete,
// or if its log ends before a sequence that was already read. The parameter reached is such a sequence.
func (e *Engine) missingSpans(ctx context.Context, after, through, reached uint64) ([]span, error) {
	info, err := e.check(ctx)
	if err != nil {
		return nil, err
	}
	if info.State.NumDeleted > maxDeleted {
		return nil, errors.New("the stream has too many deleted messages")
	}
	m, err := e.conn.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+e.cfg.Stream, []byte(`{"deleted_details":true}`))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		State struct {
			FirstSeq   uint64          `json:"first_seq"`
			LastSeq    uint64          `json:"last_seq"`
			Deleted    []uint64        `json:"deleted"`
			NumDeleted int             `json:"num_deleted"`
			Lost       json.RawMessage `json:"lost"` // sequences lost by damage of the leader's files
		} `json:"state"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, err
	}
	switch s := &answer.State; {
	case answer.Error != nil:
		return nil, answer.Error
	case s.LastSeq < max(reached, through):
		return nil, errors.New("the NATS server that answered lacks events that were already read")
	case s.Lost != nil, s.NumDeleted != len(s.Deleted):
		return nil, errors.New("the server's list of deleted messages is incomplete")
	}
	return spansOf(answer.State.Deleted, answer.State.FirstSeq, span{after, through}), nil
}

// spansOf returns the ranges of missing sequences in the given span: the sequences lower than first, and the
// sequences in the sorted slice deleted.
func spansOf(deleted []uint64, first uint64, within span) (spans []span) {
	if end := min(max(first, 1)-1, within.through); end > within.after {
		spans = []span{{within.after, end}}
	}
	i, _ := slices.BinarySearch(deleted, max(first, within.after+1))
	for ; i < len(deleted) && deleted[i] <= within.through; i++ {
		seq := deleted[i]
		if n := len(spans); n > 0 && spans[n-1].through == seq-1 {
			spans[n-1].through = seq
		} else {
			spans = append(spans, span{seq - 1, seq})
		}
	}
	return spans
}

// lostRanges returns, for each missing range that contains sequences that were not erased, the part from the
// beginning of the range to the newest such sequence. Before it reports a loss, it reads new erasures from
// the leader, as deletedRange does.
func (e *Engine) lostRanges(ctx context.Context, missing []span) (lost []span, err error) {
	for again := range 2 {
		lost = lost[:0]
		for _, r := range missing {
			if end := e.erased.newestLost(r.after, r.through); end > r.after {
				lost = append(lost, span{r.after, end})
			}
		}
		if len(lost) == 0 || again == 1 {
			break
		}
		if err := e.learnErasures(ctx); err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// arrange returns the log elements of (seq, upTo] in order: the found events that are not in a missing range,
// and the lost ranges. The element of a range contains only the end of the range; the range begins after the
// previous element. Therefore arrange inserts an erased range directly before a lost range if no other
// element ends there. If the last element ends before upTo, it appends an erased range that ends at upTo.
func (e *Engine) arrange(seq, upTo uint64, found []*hub.Event, missing, lost []span) (elements []*hub.Event) {
	var left []*hub.Event
	for _, event := range found {
		at := event.ID.Seq
		for len(missing) > 0 && missing[0].through < at {
			missing = missing[1:]
		}
		if event.Erases != 0 || len(missing) > 0 && missing[0].after < at {
			continue // erased, or deleted after it was read
		}
		left = append(left, event)
	}
	add := func(r span) {
		if r.after > seq {
			elements = append(elements, e.erasedRange(r.after))
		}
		elements = append(elements, e.lostRange(r.through))
		seq = r.through
	}
	for _, event := range left {
		at := event.ID.Seq
		for len(lost) > 0 && lost[0].through < at {
			add(lost[0])
			lost = lost[1:]
		}
		if event.Topic == "" {
			add(span{at - 1, at}) // a message that is not an event
			continue
		}
		elements = append(elements, event)
		seq = at
	}
	for _, r := range lost {
		add(r)
	}
	if seq < upTo {
		elements = append(elements, e.erasedRange(upTo))
	}
	return elements
}
