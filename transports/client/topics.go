package client

import (
	"context"
	"slices"
	"strconv"

	"github.com/trivium-hub/trivium/hub/jsonscan"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// change is a requested change of the topics that the hub has not accepted yet.
type change struct {
	topics         []string
	added, removed []string // topics that must still be sent on the WebSocket
	ref            string   // ref of the command that the hub has not answered; "": a new connection applies the change
	reply          chan error
}

// SetTopics changes the topics from the client's current position on. It blocks until the hub has
// accepted the change. If the hub refuses the change, the topics stay unchanged, and the error is a
// *Problem. If ctx ends first, the change is not canceled: it takes effect when the hub accepts it.
func (c *Client) SetTopics(ctx context.Context, topics []string) error {
	if err := checkTopics(topics); err != nil {
		return err
	}
	ch := &change{topics: distinct(topics), reply: make(chan error, 1)}
	select {
	case c.changes <- ch:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.endErr
	}
	select {
	case err := <-ch.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startChange starts a change of the topics.
func (l *loop) startChange(ch *change) {
	l.change = ch
	switch all := ch.topics == nil; {
	case all == (l.topics == nil) && sameSet(ch.topics, l.topics):
		l.finishChange(nil)
	case !all && len(ch.topics) == 0:
		l.topics = ch.topics
		l.connect()
		l.finishChange(nil)
	case !all && l.topics != nil && l.transport == WebSocket && l.phase == Live:
		l.changeOnSocket()
	case l.phase != Waiting:
		l.connect()
	}
}

// changeOnSocket applies the change by commands on the open WebSocket. It subscribes to the new topics
// before it unsubscribes from the old ones. An event that matches both an old and a new topic filter is
// therefore not missed.
func (l *loop) changeOnSocket() {
	ch := l.change
	ch.added, ch.removed = without(ch.topics, l.topics), without(l.topics, ch.topics)
	l.sendNextCommand()
}

// sendNextCommand sends the next command of the change. If there is none, the change is finished.
func (l *loop) sendNextCommand() {
	switch ch := l.change; {
	case len(ch.added) > 0:
		ch.ref = l.sendCommand(command{op: wire.OpSubscribe, topics: ch.added})
	case len(ch.removed) > 0:
		ch.ref = l.sendCommand(command{op: wire.OpUnsubscribe, topics: ch.removed})
	default:
		l.topics = ch.topics
		l.finishChange(nil)
	}
}

// commandPending reports whether a topic change waits for the hub's answer to its command. The
// caller of SetTopics is blocked until then.
func (l *loop) commandPending() bool { return l.change != nil && l.change.ref != "" }

// finishChange reports the result of the change.
func (l *loop) finishChange(err error) {
	l.change.reply <- err
	l.change = nil
}

// onAccepted handles an accepted command.
func (l *loop) onAccepted(ref string) {
	switch {
	case ref == "": // not an answer to a command
	case ref == l.authRef:
		l.authRef = ""
		token := l.authToken
		l.conn.sentToken.Store(&token)
		l.applyToken() // the token may have changed in the meantime
	case l.change != nil && ref == l.change.ref:
		if len(l.change.added) > 0 {
			l.change.added = nil
		} else {
			l.change.removed = nil
		}
		l.sendNextCommand()
	}
}

// onRefused handles a refused command.
func (l *loop) onRefused(ref string, p *Problem) {
	switch {
	case ref == l.authRef: // the new connection sends the token again, and handles its refusal
		l.connect()
	case l.change == nil || ref != l.change.ref:
	case len(l.change.added) > 0 && (p.Status != 400 || len(l.change.removed) == 0):
		l.finishChange(p)
	default: // the old and new topics together may exceed the limit, or the hub's topics may differ from the client's
		l.connect()
	}
}

// command is a WebSocket command to the hub (docs/protocol.md#commands).
type command struct {
	op     string
	topics []string // nil if none
	token  string   // "" if none
}

func (cmd command) appendJSON(dst []byte, ref string) []byte {
	dst = append(append(dst, `{"op":"`...), cmd.op...)
	dst = append(append(dst, `","ref":`...), ref...)
	for i, topic := range cmd.topics {
		if i == 0 {
			dst = append(dst, `,"topic":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = jsonscan.AppendString(dst, topic)
	}
	if cmd.topics != nil {
		dst = append(dst, ']')
	}
	if cmd.token != "" {
		dst = jsonscan.AppendString(append(dst, `,"token":`...), cmd.token)
	}
	return append(dst, '}')
}

// sendCommand sends a command and returns its ref. It ignores an error: the connection then ends,
// and the goroutine that reads from it reports the reason.
func (l *loop) sendCommand(cmd command) (ref string) {
	l.lastRef++
	ref = strconv.Itoa(l.lastRef)
	_ = l.conn.send(cmd.appendJSON(nil, ref))
	return ref
}

func sameSet(a, b []string) bool { return len(without(a, b)) == 0 && len(without(b, a)) == 0 }

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
