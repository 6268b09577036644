package client

import (
	"cmp"
	"errors"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// connectionLost handles the end of a connection, or a failed attempt to open one, and decides what
// the client does next.
func (l *loop) connectionLost(err error) {
	end := loss{
		wasLive:       l.phase == Live,
		retryHint:     l.retryHint,
		tokenOutdated: l.conn.tokenOutdated(),
		token:         *l.conn.sentToken.Load(),
	}
	end.wasStable = end.wasLive && time.Since(l.liveSince) >= steadyAfter
	end.err = withoutToken(err, end.token)
	l.dropConnection()
	if end.wasLive && time.Since(l.liveSince) >= acceptedAfter {
		l.rejections = 0
		l.tries = min(l.tries, triesAfterLive)
	}
	if end.wasStable {
		l.tries = 0
		l.fallback.connectionWasStable()
	}
	if p, ok := errors.AsType[*Problem](end.err); ok {
		l.handleProblem(p, end)
	} else if final, ok := errors.AsType[*FinalError](err); ok {
		l.endErr = final
	} else if goaway, ok := errors.AsType[*goawayError](err); ok {
		l.waitBeforeRetry(goaway.retry, err)
	} else {
		l.handleFailure(end)
	}
}

// loss describes how a connection ended.
type loss struct {
	err           error
	wasLive       bool          // the phase was Live
	wasStable     bool          // it was Live for at least steadyAfter
	retryHint     time.Duration // the stream's retry time; 0 if it sent none
	token         string        // the token that was sent
	tokenOutdated bool          // the token cache has a newer token
}

// handleProblem decides what the client does after a refusal. A problem with a code was sent by the
// hub itself, and would be the same over every transport. Any other answer is from an intermediary,
// such as a proxy, a captive portal or a firewall, and may be temporary.
func (l *loop) handleProblem(p *Problem, end loss) {
	fromHub := p.Code != ""
	noFallback := l.selected != Auto || l.fallback.atLastStep()
	switch {
	case fromHub && p.Status == 401:
		l.handleUnauthorized(p, end)
	case fromHub && l.change != nil && !end.wasLive && (p.Status == 400 || p.Status == 403):
		l.finishChange(p)
		l.connect()
	case fromHub && temporary(p.Status):
		l.waitBeforeRetry(cmp.Or(p.RetryAfter, end.retryHint), p)
	case fromHub && (noFallback || p.Status == 400 || p.Status == 403 || p.Status == 421):
		l.endErr = &FinalError{Status: p.Status, Err: p}
	default:
		end.retryHint = cmp.Or(p.RetryAfter, end.retryHint)
		l.handleFailure(end)
	}
}

// handleFailure decides what the client does after a failure of the transport or the network: use
// the next transport of the fallback list, or wait.
func (l *loop) handleFailure(end loss) {
	if l.selected == Auto && (!end.wasLive || !end.wasStable && l.fallback.countQuickLoss()) && l.fallback.stepDown(end.err) {
		l.connect()
		return
	}
	l.waitBeforeRetry(end.retryHint, end.err)
}

// waitBeforeRetry enters the phase Waiting. The wait is retryAfter, which the server has requested,
// or a random backoff if retryAfter is 0.
func (l *loop) waitBeforeRetry(retryAfter time.Duration, why error) {
	d := min(retryAfter, maxHint)
	if d <= 0 {
		d = backoff(l.tries, l.c.cfg.MaxWait)
	}
	l.tries++
	l.transport = l.fallback.transportFor(l.selected)
	l.phaseTimer.Reset(d)
	l.setState(State{Phase: Waiting, Transport: l.transport, Wait: d, Reason: why})
}

// Limits for rejected tokens.
const (
	// maxRejections is the number of consecutive token rejections that do not end a client that has been
	// Live; one more ends it. The limit is greater than 1, because the source may renew its tokens late.
	maxRejections = 5
	// acceptedAfter is how long a connection must be Live before its token counts as accepted.
	acceptedAfter = time.Second
)

// handleUnauthorized handles the status 401. The client reconnects with another token of the
// TokenSource, or ends.
func (l *loop) handleUnauthorized(p *Problem, end loss) {
	switch {
	case l.c.tokens.source != nil && end.tokenOutdated:
		l.connect()
	case l.c.tokens.source == nil || l.rejections >= l.maxRejectionsNow():
		l.endErr = &FinalError{Status: p.Status, Err: p}
	default:
		l.rejections++
		l.rejection, l.rejectedToken = p, end.token
		if l.rejections > 1 {
			l.waitBeforeRetry(0, p)
		} else {
			l.connect()
		}
	}
}

func (l *loop) maxRejectionsNow() int {
	if l.hasBeenLive {
		return maxRejections
	}
	return 1
}

// onTokenCallDone handles the result of a call of the TokenSource.
func (l *loop) onTokenCallDone() {
	call := l.tokenCall
	l.tokenCall = nil
	awaited := l.phase == Connecting && l.conn == nil
	if call.err != nil {
		if final, ok := errors.AsType[*FinalError](call.err); ok {
			l.endErr = final
		} else if awaited {
			l.waitBeforeRetry(0, call.err)
		} else {
			l.renewalFailures++
			l.renewalTimer.Reset(backoff(l.renewalFailures, l.c.cfg.MaxWait))
		}
		return
	}
	if l.rejection != nil && call.token == l.rejectedToken {
		if awaited && l.rejections < l.maxRejectionsNow() {
			l.rejections++
			l.waitBeforeRetry(0, l.rejection) // the next attempt calls the TokenSource again
			return
		}
		l.endErr = &FinalError{Status: l.rejection.Status, Err: l.rejection}
		return
	}
	l.rejection, l.renewalFailures = nil, 0
	l.applyToken()
	if awaited {
		l.connect()
	}
}

// applyToken schedules the next renewal, and passes a new token to the connection.
func (l *loop) applyToken() {
	if due := l.c.tokens.renewalDue(); due.IsZero() {
		l.renewalTimer.Stop()
	} else {
		l.renewalTimer.Reset(max(0, time.Until(due)))
	}
	if l.phase != Live || !l.conn.tokenOutdated() {
		return
	}
	switch {
	case l.transport == LongPoll: // the next poll sends the new token
	case l.transport != WebSocket:
		l.connect()
	case l.authRef == "":
		l.authToken = l.c.tokens.value()
		l.authRef = l.sendCommand(command{op: wire.OpAuth, token: l.authToken})
	}
}
