package client

import (
	"cmp"
	"errors"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// connectionLost handles the end of the connection, or of the attempt to open one, and decides what follows.
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
	}
	if end.wasStable {
		l.tries = 0
		l.fallback.connectionWasStable()
	}
	if p, ok := errors.AsType[*Problem](end.err); ok {
		l.handleProblem(p, end)
	} else if final, ok := errors.AsType[*FinalError](err); ok {
		l.endErr = final
	} else if away, ok := errors.AsType[*goawayError](err); ok {
		l.waitBeforeRetry(away.retry, err)
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
	token         string        // the token sent
	tokenOutdated bool          // the token cache has a newer one
}

// handleProblem decides what follows a refusal. A problem with a code comes from the hub itself and would be the
// same over every transport. Any other answer comes from an intermediary, such as a proxy, a captive portal or a
// firewall, and may pass.
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

// handleFailure decides what follows a failure of the transport or the network: the next transport of the
// fallback list, or a wait.
func (l *loop) handleFailure(end loss) {
	if l.selected == Auto && (!end.wasLive || !end.wasStable && l.fallback.countQuickLoss()) && l.fallback.stepDown(end.err) {
		l.connect()
		return
	}
	l.waitBeforeRetry(end.retryHint, end.err)
}

// waitBeforeRetry enters Waiting, for the time that the server asked for (asked > 0) or else for a random
// backoff.
func (l *loop) waitBeforeRetry(asked time.Duration, why error) {
	d := min(asked, maxHint)
	if d <= 0 {
		d = backoff(l.tries, l.c.cfg.MaxWait)
	}
	l.tries++
	l.transport = l.fallback.transportFor(l.selected)
	l.phaseTimer.Reset(d)
	l.setState(State{Phase: Waiting, Transport: l.transport, Wait: d, Reason: why})
}

// Bounds on the handling of rejected tokens.
const (
	// maxRejections is how many consecutive rejections a client that has been Live tolerates: its source may
	// renew tokens late.
	maxRejections = 5
	// acceptedAfter is how long a connection must be Live for its token to count as accepted.
	acceptedAfter = time.Second
)

// handleUnauthorized handles a 401. The token source may have a better token.
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

// onTokenCallDone handles the result of a call of the token source.
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
			l.waitBeforeRetry(0, l.rejection) // the next attempt asks the source again
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

// applyToken schedules the next renewal and hands a fresh token to the connection.
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
	case l.transport == LongPoll: // the next poll sends it
	case l.transport != WebSocket:
		l.connect()
	case l.authRef == "":
		l.authToken = l.c.tokens.value()
		l.authRef = l.sendCommand(command{op: wire.OpAuth, token: l.authToken})
	}
}
