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

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Limits and defaults of the parameters (docs/protocol.md#long-poll).
const (
	maxWait     = 60 * time.Second
	defaultWait = 25 * time.Second
	// longestPoll is when a poll is answered at the latest, since many proxies give up after 60 s.
	longestPoll = 55 * time.Second
	maxEvents   = 1000
	defaultMax  = 100
	maxAnswer   = 1 << 20 // bytes of events in an answer, unless the first alone has more
	// patience is how much longer than its wait a poll goes on reading a log where it would have been
	// for nothing otherwise: see the package's comment. Clients may give up a second after their wait.
	patience = 900 * time.Millisecond
)

// Config is what a Handler is made of.
type Config struct {
	Hub          *hub.Hub
	Registry     *connection.Registry // polls are no members of it, but end when it drains
	Access       web.AccessFunc
	Counters     *connection.Counters
	MaxTopics    int           // filters of a subscription; 0: any number
	WriteTimeout time.Duration // of an answer over HTTP/2, without progress
	// CloudEvents writes the events of ?format=cloudevents.
	CloudEvents wire.CloudEvents
}

// Handler answers GET /poll.
type Handler struct {
	cfg    Config // static
	alarms sync.Pool
	bodies sync.Pool
}

// New makes a Handler. Its server must listen by an connection.Listener: over HTTP/1, that is what ends
// an answer which makes no progress.
func New(cfg Config) *Handler { return &Handler{cfg: cfg} }

// poll is what a request asks for.
type poll struct {
	subscribe hub.Request
	wait      time.Duration
	max       int
	format    connection.Format
}

// ServeHTTP answers as soon as there is something, else after the wait.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !web.AllowMethods(w, r, http.MethodGet) {
		return
	}
	access := h.cfg.Access(r.Context())
	p, problem := h.parse(r, access)
	if problem == nil && h.cfg.Registry.IsDraining() {
		problem = wire.Draining(web.RetryDelay())
	}
	if problem != nil {
		web.WriteProblem(w, r, problem)
		return
	}
	a := h.alarm()
	defer h.alarms.Put(a)
	bell := a.bell
	if problem := access.Acquire(bell); problem != nil {
		web.WriteProblem(w, r, problem)
		return
	}
	defer access.Release(bell)
	if problem := access.ReserveFilters(bell, p.subscribe.Filters); problem != nil {
		web.WriteProblem(w, r, problem)
		return
	}
	s, err := h.cfg.Hub.Subscribe(p.subscribe, bell)
	if err != nil {
		web.WriteProblem(w, r, wire.ProblemOf(err))
		return
	}
	defer s.Close()
	p.subscribe.Filters = s.Filters() // which all share who wait for the same
	h.cfg.Counters.Connections.Add(1)
	defer h.cfg.Counters.Connections.Add(-1)
	batch := h.wait(r, s, a, p, access)
	// What was found is not for one who has lost the right to it meanwhile.
	if problem := access.Authorize(p.subscribe.Filters); problem != nil {
		h.cfg.Counters.Unauthorized.Add(1)
		web.WriteProblem(w, r, problem)
		return
	}
	if !s.Begun() {
		problem := wire.Unavailable("where this begins in the log was not found in time")
		if h.cfg.Registry.IsDraining() {
			problem = wire.Draining(web.RetryDelay())
		}
		web.WriteProblem(w, r, problem)
		return
	}
	h.answer(w, r, s, access, p.format, batch)
}

// wait gives the first batch with something in it, or an empty one when the wait is over: by its
// time, by a drain, by a loss of the right to it, or because the client has closed its side, which
// may be half of a connection.
func (h *Handler) wait(r *http.Request, s *hub.Subscription, a *alarm, p poll, access web.Access) hub.Batch {
	over := p.wait == 0
	a.timer.Reset(cmp.Or(p.wait, patience))
	defer a.timer.Stop()
	limit := hub.ReadLimit{Events: p.max, Bytes: maxAnswer}
	for {
		batch := s.Read(limit)
		switch {
		case len(batch.Events) > 0:
			return fill(s, batch, limit)
		case batch.Gap != nil:
			return batch
		case batch.More:
			select {
			case <-a.timer.C:
				if over || s.Begun() {
					return batch
				}
				over = true
				a.timer.Reset(min(patience, longestPoll-p.wait))
			default:
			}
			s.Turn()()
			continue
		case over && !batch.Waiting, access.Authorize(p.subscribe.Filters) != nil:
			return batch
		}
		select {
		case <-a.bell:
		case <-a.timer.C:
			if over || s.Begun() {
				return s.Read(limit)
			}
			more := min(patience, longestPoll-p.wait)
			if more <= 0 {
				return s.Read(limit)
			}
			over = true
			a.timer.Reset(more)
		case <-h.cfg.Registry.Draining():
			return s.Read(limit)
		case <-r.Context().Done():
			return s.Read(limit)
		}
	}
}

// fill adds what can be read without waiting for the log: the hub reads in pieces.
func fill(s *hub.Subscription, batch hub.Batch, limit hub.ReadLimit) hub.Batch {
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
			break // a gap is for the next answer, which begins after the last event
		}
		if added, batch.More = next.Events, next.More; len(added) == 0 && next.More {
			s.Turn()()
		}
		batch.Events = slices.Concat(batch.Events, added)
	}
	return batch
}

func (h *Handler) parse(r *http.Request, access web.Access) (poll, *wire.Problem) {
	q, problem := web.ParseQuery(r)
	if problem != nil {
		return poll{}, problem
	}
	request, _, problem := web.ParseSubscription(r, q, access.Grant(), h.cfg.MaxTopics)
	if problem != nil {
		return poll{}, problem
	}
	wait, problem := parseWait(q, r.Header)
	if problem != nil {
		return poll{}, problem
	}
	events, problem := parseMax(q)
	if problem != nil {
		return poll{}, problem
	}
	cloudEvents, problem := web.ParseFormat(q)
	p := poll{subscribe: request, wait: min(wait, longestPoll), max: events, format: frames{}}
	if cloudEvents {
		p.format = cloudEventFrames{h.cfg.CloudEvents}
	}
	return p, problem
}

func parseWait(q url.Values, header http.Header) (time.Duration, *wire.Problem) {
	values := q["wait"]
	if len(values) == 0 {
		return preferredWait(header), nil
	}
	seconds, ok := parseSeconds(values[0])
	if len(values) > 1 || !ok || seconds > maxWait {
		return 0, wire.BadParameter("wait", "must be 0 to 60 seconds, as 25 or 25s, once")
	}
	return seconds, nil
}

// preferredWait reads Prefer: wait=N (RFC 7240 section 4.3). What it cannot take it ignores, as a
// preference demands nothing.
func preferredWait(header http.Header) time.Duration {
	for _, field := range header.Values("Prefer") {
		for preference := range strings.SplitSeq(field, ",") {
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value, _, _ = strings.Cut(value, ";") // its parameters
			if seconds, ok := parseSeconds(strings.Trim(strings.TrimSpace(value), `"`)); ok {
				return min(seconds, maxWait)
			}
		}
	}
	return defaultWait
}

// parseSeconds reads "25" or "25s". What is too long for a Duration is as long as one can be.
func parseSeconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "s"), 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

func parseMax(q url.Values) (int, *wire.Problem) {
	values := q["max"]
	if len(values) == 0 {
		return defaultMax, nil
	}
	n, err := strconv.ParseUint(values[0], 10, 31)
	if len(values) > 1 || err != nil || n < 1 || n > maxEvents {
		return 0, wire.BadParameter("max", "must be a number from 1 to 1000, once")
	}
	return int(n), nil
}
