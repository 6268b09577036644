package longpoll

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Limits and defaults of the parameters (docs/protocol.md#long-poll).
const (
	maxWait     = 60 * time.Second
	defaultWait = 25 * time.Second
	// maxAnswerDelay is the maximum time until a poll is answered, whatever its parameter wait. It is
	// less than 60 s, after which many proxies time out.
	maxAnswerDelay = 55 * time.Second
	maxEvents      = 1000
	defaultMax     = 100
	maxAnswer      = 1 << 20 // maximum size of the events in an answer, in bytes, unless the first event alone is larger
	// readGrace is the time for which a poll with wait=0 may read the durable log. Clients may time
	// out one second after the wait.
	readGrace = 900 * time.Millisecond
)

// Config configures a Handler. Only Hub is required.
type Config struct {
	Hub          *hub.Hub      // required
	MaxTopics    int           // maximum number of filters per subscription; 0: any number
	WriteTimeout time.Duration // timeout of a write over HTTP/2 without progress; 0: 10 s
	// CloudEventsSource is the source attribute, with ?format=cloudevents, of events that were not
	// published as CloudEvents; "": urn:trivium:hub.
	CloudEventsSource string

	// transports.API sets these fields. Polls end when the Registry drains. If Registry is nil, the
	// handler creates a Registry, which never drains.
	Registry *connection.Registry
	Counters *connection.Counters
	Log      *connection.Log // nil: polls are not logged
}

// Handler answers GET /poll.
type Handler struct {
	cfg      Config            // static
	shared   connection.Shared // static
	idleTime time.Duration     // static
	wakers   sync.Pool
	buffers  sync.Pool
	answers  sharedAnswers
	times    deadlines

	headerLock sync.Mutex
	headers    map[string]*baseHeader // baseHeaders by their lines; see intern
}

// New returns a Handler. Over HTTP/1, it can detect that a client has stopped reading only if the
// listener of a transports.API has accepted the connection.
func New(cfg Config) (*Handler, error) {
	h := &Handler{cfg: cfg, idleTime: idleTime, times: deadlines{start: time.Now()}, shared: connection.Shared{
		Hub: cfg.Hub, Registry: cmp.Or(cfg.Registry, connection.NewRegistry(0, 0)), Counters: cfg.Counters, WriteTimeout: cfg.WriteTimeout,
	}}
	if err := h.shared.Complete("longpoll", 0); err != nil {
		return nil, err
	}
	return h, nil
}

// poll is the state of one poll request. Small fields are adjacent to save memory, because each parked
// connection contains a poll.
type poll struct {
	format       connection.Format
	filters      hub.FilterSet
	deadline     time.Duration // end of the wait, as a duration since Handler.times.start; before begin, the length of the wait
	access       auth.Access
	notifier     *notifier
	subscription *hub.Subscription
	record       *connection.Record
	max          int32
	parked       bool // whether a pollConn now owns the poll and answers it
}

// ServeHTTP answers a poll when there are events or the wait is over. It answers HEAD immediately.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !web.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	access := auth.AccessFrom(r.Context())
	p, request, problem := h.parseRequest(r, access)
	if problem = cmp.Or(problem, h.shared.Draining()); problem != nil {
		web.WriteProblem(w, r, problem)
		return
	}
	if r.Method == http.MethodHead {
		header := w.Header()
		header["Content-Type"], header["Cache-Control"] = jsonContentType, noStore
		return
	}
	a := h.getWaker()
	defer h.wakers.Put(a)
	p.notifier = new(notifier)
	p.notifier.waker.Store(a)
	if problem := h.begin(&p, access, request); problem != nil {
		web.WriteProblem(w, r, problem)
		return
	}
	c := pollConnOf(r)
	defer func() {
		switch {
		case p.parked: // the pollConn owns the poll
		case c != nil:
			c.endUnparked(&p)
		default:
			h.end(&p)
		}
	}()
	if h.answerPoll(w, r, &p, a, c != nil || h.canPark(r)) || h.park(w, r, &p) {
		return
	}
	h.answerPoll(w, r, &p, a, false)
}

// begin starts the subscription of a poll. If it returns nil, the caller must later call end.
func (h *Handler) begin(p *poll, access auth.Access, request hub.Request) *problems.Problem {
	subscription, problem := h.shared.Subscribe(access, p.notifier, request)
	if problem != nil {
		return problem
	}
	p.subscription = subscription
	p.access = access
	p.filters = p.subscription.Filters() // polls with equal filters share one set
	h.shared.Counters.Connections.Add(1)
	h.shared.Counters.Opened.Add(1)
	p.record = h.beginRecord(access)
	p.deadline += h.times.now()
	return nil
}

// end closes the subscription and releases the access that begin has acquired.
func (h *Handler) end(p *poll) {
	p.notifier.waker.Store(nil)
	p.subscription.Close()
	if p.access != nil {
		p.access.Release(p.notifier)
	}
	h.shared.Counters.Connections.Add(-1)
	p.record.Close()
}

// answerPoll waits for events, writes the answer, and returns true. If mayPark is set and the poll must
// wait for events that are not published yet, answerPoll instead writes nothing and returns false.
func (h *Handler) answerPoll(w http.ResponseWriter, r *http.Request, p *poll, a *waker, mayPark bool) bool {
	batch, due := h.waitForEvents(r, p, a, mayPark)
	if !due {
		return false
	}
	// During the wait, the token may have lost the right to subscribe to these topics.
	if problem := p.access.Grant().Authorize(p.filters); problem != nil {
		h.shared.Counters.Unauthorized.Add(1)
		p.record.SetReason(connection.ClosedExpelled)
		web.WriteProblem(w, r, problem)
		return true
	}
	if !p.subscription.Located() {
		p.record.SetReason(connection.ClosedUnavailable)
		web.WriteProblem(w, r, cmp.Or(h.shared.Draining(), problems.Unavailable("the start position was not found in the log in time")))
		return true
	}
	h.answer(w, r, p.subscription, p.record, &answer{cache: h.shared.Registry.EncodingCache(), format: p.format, subject: subjectOf(p.access)}, batch)
	return true
}

// beginRecord returns the log record of a poll. A poll has a single log line, written at its end.
func (h *Handler) beginRecord(access auth.Access) *connection.Record {
	record := h.cfg.Log.NewRecord("", access.Client())
	record.Begin(subjectOf(access))
	return record
}

// subjectOf returns the subject of the token, or "" if the token has ended.
func subjectOf(access auth.Access) string {
	if grant := access.Grant(); grant != nil {
		return grant.Subject
	}
	return ""
}

// waitForEvents returns the first batch with events or a gap. It returns an empty batch when the wait is
// over, the hub drains, the token no longer permits the poll, or the client has closed at least its
// write side.
//
// If mayPark is set, waitForEvents does not wait for events that are not published yet. Instead, it
// returns false for due.
func (h *Handler) waitForEvents(r *http.Request, p *poll, a *waker, mayPark bool) (batch hub.ReadResult, due bool) {
	s, wait := p.subscription, max(0, p.deadline-h.times.now())
	a.timer.Reset(cmp.Or(wait, readGrace))
	defer a.timer.Stop()
	limit := hub.ReadLimit{Events: int(p.max), Bytes: maxAnswer}
	for {
		batch := s.Read(limit)
		switch {
		case len(batch.Events) > 0:
			return readMore(s, batch, limit), true
		case batch.Gap != nil:
			return batch, true
		case batch.More:
			select {
			case <-a.timer.C:
				return batch, true
			default:
			}
			s.WaitTurn()()
			continue
		case wait == 0 && !batch.Waiting, p.access.Grant().Authorize(p.filters) != nil:
			return batch, true
		case mayPark && !batch.Waiting:
			return batch, false
		}
		var gone <-chan struct{}
		if c := pollConnOf(r); c != nil {
			gone = c.peerGone()
		} else {
			gone = r.Context().Done()
		}
		select {
		case <-a.wakeup:
			continue
		case <-a.timer.C:
		case <-h.shared.Registry.Draining():
		case <-gone:
		}
		return s.Read(limit), true
	}
}

// readMore reads further events, up to limit, and returns them together with the batch. It does not wait
// for the durable log. It is needed because a single Read may return fewer events than are available.
func readMore(s *hub.Subscription, batch hub.ReadResult, limit hub.ReadLimit) hub.ReadResult {
	for added := batch.Events; batch.More; {
		limit.Events -= len(added)
		for _, e := range added {
			limit.Bytes -= len(e.Data)
		}
		if limit.Events <= 0 || limit.Bytes <= 0 {
			break
		}
		next := s.Read(limit)
		if next.Gap != nil || next.Waiting {
			break // the next answer, which starts after the last event here, will contain the gap
		}
		if added, batch.More = next.Events, next.More; len(added) == 0 && next.More {
			s.WaitTurn()()
		}
		batch.Events = slices.Concat(batch.Events, added)
	}
	return batch
}

func (h *Handler) parseRequest(r *http.Request, access auth.Access) (poll, hub.Request, *problems.Problem) {
	q, problem := web.ParseQuery(r)
	if problem != nil {
		return poll{}, hub.Request{}, problem
	}
	request, _, problem := web.ParseSubscription(r, q, access.Grant(), h.cfg.MaxTopics)
	if problem != nil {
		return poll{}, hub.Request{}, problem
	}
	wait, problem := parseWait(q, r.Header)
	if problem != nil {
		return poll{}, hub.Request{}, problem
	}
	events, problem := parseMax(q)
	if problem != nil {
		return poll{}, hub.Request{}, problem
	}
	cloudEvents, problem := web.ParseFormat(q)
	p := poll{deadline: min(wait, maxAnswerDelay), max: int32(events), format: envelopeFormat{}}
	if cloudEvents {
		p.format = cloudEventFormat{wire.CloudEvents{Source: cmp.Or(h.cfg.CloudEventsSource, wire.DefaultCloudEventsSource)}}
	}
	return p, request, problem
}

func parseWait(q url.Values, header http.Header) (time.Duration, *problems.Problem) {
	values := q["wait"]
	if len(values) == 0 {
		return preferredWait(header), nil
	}
	seconds, ok := parseSeconds(values[0])
	if len(values) > 1 || !ok || seconds > maxWait {
		return 0, problems.BadParameter("wait", "must be 0 to 60 seconds such as 25 or 25s, given once")
	}
	return seconds, nil
}

// preferredWait returns the wait in the header Prefer: wait=N (RFC 7240 section 4.3), or the default. It
// ignores invalid values, because a preference is not binding.
func preferredWait(header http.Header) time.Duration {
	for preference := range web.Elements(header.Values("Prefer")) {
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value, _, _ = strings.Cut(value, ";") // drops the parameters after the value
		if seconds, ok := parseSeconds(strings.Trim(strings.TrimSpace(value), `"`)); ok {
			return min(seconds, maxWait)
		}
	}
	return defaultWait
}

// parseSeconds parses a number of seconds such as "25" or "25s".
func parseSeconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "s"), 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

func parseMax(q url.Values) (int, *problems.Problem) {
	values := q["max"]
	if len(values) == 0 {
		return defaultMax, nil
	}
	n, err := strconv.ParseUint(values[0], 10, 31)
	if len(values) > 1 || err != nil || n < 1 || n > maxEvents {
		return 0, problems.BadParameter("max", "must be a number from 1 to 1000, given once")
	}
	return int(n), nil
}
