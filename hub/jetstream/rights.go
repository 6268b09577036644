package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The NATS user may lack a right when the hub starts, or lose one later. If the engine sends a request
// that the user may not send, the server reports an error on the connection, and the request times out.
// Therefore the engine checks its rights at the start and once per rightsInterval: it sends a message
// that changes nothing to each subject that it needs, and waits until the server has answered or refused
// the message.

// Intervals and timeouts of the checks.
const (
	rightsInterval = 2 * time.Second
	refusalTime    = 100 * time.Millisecond // time for handling refusals that have already arrived
)

// rights records which rights of the NATS user are missing.
type rights struct {
	mu      sync.Mutex
	probed  []string        // subjects of the current check
	refused map[string]bool // subset of probed
	missing []string        // subjects whose rights were missing at the last check
	changed chan struct{}   // capacity 1: refused has grown
}

func newRights() rights { return rights{changed: make(chan struct{}, 1)} }

// probe is a request that needs a right and changes nothing.
type probe struct{ subject, body string }

// probes returns a request for each right to publish that the engine needs.
func (e *Engine) probes() []probe {
	api := func(request string) string { return "$JS.API." + request + "." + e.cfg.Stream }
	return []probe{
		{e.noSubject(), ""}, // JetStream refuses this message because of its header
		{api("STREAM.INFO"), ""},
		{api("STREAM.CREATE"), `{"name":"-"}`}, // JetStream refuses this: the name differs from that in the subject
		{api("STREAM.UPDATE"), `{"name":"-"}`},
		{api("STREAM.PURGE"), `{"seq":1,"keep":1}`}, // JetStream refuses this: only one of the two members is allowed
		{api("STREAM.MSG.GET"), `{"seq":1}`},
		{api("DIRECT.GET"), `{"seq":1}`},
		{api("CONSUMER.CREATE") + ".none", `{"stream_name":"-"}`},
		{api("CONSUMER.INFO") + ".none", ""},
		{api("CONSUMER.DELETE") + ".none", ""},
		{api("CONSUMER.MSG.NEXT") + ".none", `{"no_wait":true}`},
	}
}

// noSubject returns a subject of the stream that no event has.
func (e *Engine) noSubject() string { return e.prefix + "$none" }

// begin starts a check of subjects.
func (r *rights) begin(subjects []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probed, r.refused = subjects, make(map[string]bool)
}

// note handles an error of the connection. It reports whether the server refused a subject of the
// current check.
func (r *rights) note(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, subject := range r.probed {
		if strings.Contains(err.Error(), `"`+subject+`"`) {
			r.refused[subject] = true
			select {
			case r.changed <- struct{}{}:
			default:
			}
			return true
		}
	}
	return false
}

func (r *rights) isRefused(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused[subject]
}

// finish ends the check. It returns the subjects whose rights are missing now, and the subjects whose
// rights were missing before. A subject that was neither answered nor refused keeps its state.
func (r *rights) finish(allowed map[string]bool, inbox string) (missing, before []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, subject := range r.probed {
		name := subject
		if subject == inbox {
			name = inboxRight
		}
		if r.refused[subject] || !allowed[subject] && slices.Contains(r.missing, name) {
			missing = append(missing, name)
		}
	}
	before, r.missing, r.probed = r.missing, missing, nil
	return missing, before
}

// inboxRight is the subject of the right to receive answers.
const inboxRight = "_INBOX.>"

// err returns an error that names the missing rights, or nil if there are none.
func (r *rights) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return missingRights(r.missing)
}

// lacks reports whether the right to publish to the subject is missing.
func (r *rights) lacks(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.missing, subject)
}

// RightsError reports which rights the NATS user lacks.
type RightsError struct {
	Publish   []string // subjects to which the user may not publish
	Subscribe []string // subjects to which the user may not subscribe
}

// Error implements error.
func (e *RightsError) Error() string {
	var all []string
	for _, subject := range e.Publish {
		all = append(all, fmt.Sprintf("the NATS user may not publish to %q", subject))
	}
	for _, subject := range e.Subscribe {
		all = append(all, fmt.Sprintf("the NATS user may not subscribe to %q", subject))
	}
	return strings.Join(all, "; ")
}

// missingRights returns a *RightsError for the subjects, or nil if there are none.
func missingRights(subjects []string) error {
	if len(subjects) == 0 {
		return nil
	}
	e := new(RightsError)
	for _, subject := range subjects {
		if subject == inboxRight {
			e.Subscribe = append(e.Subscribe, subject)
		} else {
			e.Publish = append(e.Publish, subject)
		}
	}
	return e
}

// checkRights returns an error that names the rights that the NATS user lacks.
func (e *Engine) checkRights(ctx context.Context) error {
	missing, _, err := e.probeRights(ctx)
	if err != nil {
		return unavailable(err)
	}
	return missingRights(missing)
}

// watchRights checks the rights every rightsInterval until the context ends.
func (e *Engine) watchRights(ctx context.Context) {
	tick := time.NewTicker(rightsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !e.conn.IsConnected() {
			continue
		}
		missing, before, err := e.probeRights(ctx)
		switch {
		case err != nil || slices.Equal(missing, before):
			continue
		case len(missing) > 0:
			e.cfg.Logger.Warn("the NATS user lacks rights", "error", missingRights(missing).Error())
		default:
			e.cfg.Logger.Info("the missing NATS permissions were restored")
		}
		if slices.Contains(before, inboxRight) && !slices.Contains(missing, inboxRight) {
			_ = e.conn.ForceReconnect() // the server has ended the subscriptions, and only a new connection restores them; fails only if the connection is closed
		}
	}
}

// probeRights sends the probes, and returns the subjects whose rights are missing now, and the subjects
// whose rights were missing before.
func (e *Engine) probeRights(ctx context.Context) (missing, before []string, err error) {
	ctx, cancel := e.linked(ctx, infoTimeout)
	defer cancel()
	probes, inbox := e.probes(), e.conn.NewInbox()
	pattern := inbox + ".*"
	subjects := make([]string, 0, len(probes)+1)
	for _, p := range probes {
		subjects = append(subjects, p.subject)
	}
	e.rights.begin(append(subjects, pattern))
	answers := make(chan *nats.Msg, len(probes))
	sub, err := e.conn.ChanSubscribe(pattern, answers)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	for i, p := range probes {
		m := &nats.Msg{Subject: p.subject, Reply: inbox + "." + strconv.Itoa(i), Data: []byte(p.body)}
		if i == 0 {
			addHeader(m, jetstream.ExpectedLastSeqHeader, strconv.FormatUint(math.MaxInt64, 10))
		}
		if err := e.conn.PublishMsg(m); err != nil {
			return nil, nil, err
		}
	}
	if err := e.conn.FlushWithContext(ctx); err != nil {
		return nil, nil, err
	}
	allowed := e.awaitProbes(ctx, subjects, pattern, answers)
	missing, before = e.rights.finish(allowed, pattern)
	return missing, before, nil
}

// awaitProbes waits until each probe is answered or refused, or the context ends, and returns the
// subjects that are known to be allowed. When it is called, the server has already processed all
// probes.
func (e *Engine) awaitProbes(ctx context.Context, subjects []string, inbox string, answers chan *nats.Msg) map[string]bool {
	allowed := make(map[string]bool)
	var inboxRefused <-chan time.Time // ends the wait if the user may not receive answers; otherwise nil
	for {
		pending := 0
		for _, subject := range subjects {
			if !allowed[subject] && !e.rights.isRefused(subject) {
				pending++
			}
		}
		if pending == 0 {
			allowed[inbox] = len(allowed) > 0
			return allowed
		}
		if inboxRefused == nil && e.rights.isRefused(inbox) {
			inboxRefused = time.After(refusalTime)
		}
		select {
		case m := <-answers:
			i, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
			if err == nil && i < len(subjects) {
				allowed[subjects[i]], allowed[inbox] = true, true
			}
		case <-e.rights.changed:
		case <-inboxRefused:
			return allowed
		case <-ctx.Done():
			return allowed
		}
	}
}
