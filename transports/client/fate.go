package client

import (
	"cmp"
	"errors"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// lose is called when the connection, or the try to make one, has come to its end, and decides what
// follows.
func (l *loop) lose(err error) {
	end := loss{
		live:     l.phase == Live,
		retry:    l.retry,
		outdated: l.conn.outdated(),
		token:    *l.conn.used.Load(),
	}
	end.lasted = end.live && time.Since(l.liveSince) >= steadyAfter
	end.err = withoutToken(err, end.token)
	l.drop()
	if end.live && time.Since(l.liveSince) >= acceptedAfter {
		l.denials = 0
	}
	if end.lasted {
		l.tries = 0
		l.ladder.steady()
	}
	if p, ok := errors.AsType[*Problem](end.err); ok {
		l.judge(p, end)
	} else if final, ok := errors.AsType[*FinalError](err); ok {
		l.ended = final
	} else if away, ok := errors.AsType[*goawayError](err); ok {
		l.wait(away.retry, err)
	} else {
		l.fail(end)
	}
}

// loss is the end of a connection.
type loss struct {
	err      error
	live     bool          // it was
	lasted   bool          // for a while
	retry    time.Duration // what the stream had said of when to come back; 0: nothing
	token    string        // that it was asked for with
	outdated bool          // there is another by now
}

// judge decides what follows a refusal. One with a code is the hub's own, and would be the same by any
// transport. Any other is of what stands between, such as a proxy whose routes are being changed, a captive
// portal or a firewall: it may pass.
func (l *loop) judge(p *Problem, end loss) {
	hubs := p.Code != ""
	nowhere := l.choice != Auto || l.ladder.last() // else to go
	switch {
	case hubs && p.Status == 401:
		l.deny(p, end)
	case hubs && l.change != nil && !end.live && (p.Status == 400 || p.Status == 403):
		l.settle(p)
		l.connect()
	case hubs && temporary(p.Status):
		l.wait(cmp.Or(p.RetryAfter, end.retry), p)
	case hubs && (nowhere || p.Status == 400 || p.Status == 403 || p.Status == 421):
		l.ended = &FinalError{Status: p.Status, Err: p}
	default:
		end.retry = cmp.Or(p.RetryAfter, end.retry)
		l.fail(end)
	}
}

// fail follows a failure of the transport, or of the network.
func (l *loop) fail(end loss) {
	if l.choice == Auto && (!end.live || !end.lasted && l.ladder.strike()) && l.ladder.down(end.err) {
		l.connect()
		return
	}
	l.wait(end.retry, end.err)
}

// wait waits before the next try, for as long as the server has said, else at random.
func (l *loop) wait(asked time.Duration, why error) {
	d := min(asked, maxHint)
	if d <= 0 {
		d = backoff(l.tries, l.c.cfg.MaxWait)
	}
	l.tries++
	l.transport = l.ladder.choose(l.choice)
	l.alarm.Reset(d)
	l.show(State{Phase: Waiting, Transport: l.transport, Wait: d, Reason: why})
}

// Bounds of what a client does about tokens that the hub refuses.
const (
	// maxDenials is how many refusals in turn are no reason to end a client that has been live: its source may
	// renew tokens late.
	maxDenials = 5
	// acceptedAfter is how long a connection must have been live for its token to count as accepted.
	acceptedAfter = time.Second
)

// deny follows a 401: the source may have a better token.
func (l *loop) deny(p *Problem, end loss) {
	switch {
	case l.c.vault.source != nil && end.outdated:
		l.connect()
	case l.c.vault.source == nil || l.denials >= l.allowedDenials():
		l.ended = &FinalError{Status: p.Status, Err: p}
	default:
		l.denials++
		l.denied, l.deniedToken = p, end.token
		if l.denials > 1 {
			l.wait(0, p)
		} else {
			l.connect()
		}
	}
}

func (l *loop) allowedDenials() int {
	if l.connected {
		return maxDenials
	}
	return 1
}

// answered is called when the source has.
func (l *loop) answered() {
	call := l.asking
	l.asking = nil
	awaited := l.phase == Connecting && l.conn == nil
	if call.err != nil {
		if final, ok := errors.AsType[*FinalError](call.err); ok {
			l.ended = final
		} else if awaited {
			l.wait(0, call.err)
		} else {
			l.failures++
			l.renewal.Reset(backoff(l.failures, l.c.cfg.MaxWait))
		}
		return
	}
	if l.denied != nil && call.token == l.deniedToken {
		if awaited && l.denials < l.allowedDenials() {
			l.denials++
			l.wait(0, l.denied) // and ask again
			return
		}
		l.ended = &FinalError{Status: l.denied.Status, Err: l.denied}
		return
	}
	l.denied, l.failures = nil, 0
	l.freshen()
	if awaited {
		l.connect()
	}
}

// freshen is called when there may be a fresh token.
func (l *loop) freshen() {
	if due := l.c.vault.due(); due.IsZero() {
		l.renewal.Stop()
	} else {
		l.renewal.Reset(max(0, time.Until(due)))
	}
	if l.phase != Live || !l.conn.outdated() {
		return
	}
	switch {
	case l.transport == LongPoll: // the next request has it
	case l.transport != WebSocket:
		l.connect()
	case l.authRef == "":
		l.token = l.c.vault.value()
		l.authRef = l.say(command{op: wire.OpAuth, token: l.token})
	}
}
