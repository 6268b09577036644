package client

import (
	"context"
	"slices"
	"strconv"

	"github.com/trivium-hub/trivium/transports/wire"
)

// change is one of the topics, until the hub has agreed or refused.
type change struct {
	topics         []string
	added, removed []string // what is still to be told on a WebSocket
	ref            string   // of the command under way; "": a connection is to tell
	reply          chan error
}

// SetTopics changes what is read, from the position at which the client stands. It waits until the
// hub has agreed; if it refuses, all stays as it was and the error is a *Problem. When ctx is done
// before, the change is still made if the hub agrees.
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
		return c.end
	}
	select {
	case err := <-ch.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin begins a change.
func (l *loop) begin(ch *change) {
	l.change = ch
	switch all := ch.topics == nil; {
	case all == (l.topics == nil) && sameSet(ch.topics, l.topics):
		l.settle(nil)
	case !all && len(ch.topics) == 0:
		l.topics = ch.topics
		l.connect()
		l.settle(nil)
	case !all && l.topics != nil && l.transport == WebSocket && l.phase == Live:
		l.amend()
	case l.phase != Waiting:
		l.connect()
	}
}

// amend has the change made on the connection, what is new first, so that nothing is missed of what
// stays covered.
func (l *loop) amend() {
	ch := l.change
	ch.added, ch.removed = without(ch.topics, l.topics), without(l.topics, ch.topics)
	l.tell()
}

// tell sends the next command of the change, if there is one.
func (l *loop) tell() {
	switch ch := l.change; {
	case len(ch.added) > 0:
		ch.ref = l.say(command{op: wire.OpSubscribe, topics: ch.added})
	case len(ch.removed) > 0:
		ch.ref = l.say(command{op: wire.OpUnsubscribe, topics: ch.removed})
	default:
		l.topics = ch.topics
		l.settle(nil)
	}
}

// telling reports that the hub is about to answer a command of a change, on which the program waits.
func (l *loop) telling() bool { return l.change != nil && l.change.ref != "" }

// settle ends the change.
func (l *loop) settle(err error) {
	l.change.reply <- err
	l.change = nil
}

// accepted is called when the hub has carried out a command.
func (l *loop) accepted(ref string) {
	switch {
	case ref == "": // it answers nothing
	case ref == l.authRef:
		l.authRef = ""
		token := l.token
		l.conn.used.Store(&token)
		l.freshen() // there may be a third
	case l.change != nil && ref == l.change.ref:
		if len(l.change.added) > 0 {
			l.change.added = nil
		} else {
			l.change.removed = nil
		}
		l.tell()
	}
}

// refused is called when the hub has refused a command.
func (l *loop) refused(ref string, p *Problem) {
	switch {
	case ref == l.authRef: // a connection of its own will show what is wrong with the token
		l.connect()
	case l.change == nil || ref != l.change.ref:
	case len(l.change.added) > 0 && (p.Status != 400 || len(l.change.removed) == 0):
		l.settle(p)
	default: // together they may be too many, or the hub has others than was thought
		l.connect()
	}
}

// command is what a client says on a WebSocket (docs/protocol.md#commands).
type command struct {
	op     string
	topics []string // nil: none
	token  string   // "": none
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
		dst = wire.AppendString(dst, topic)
	}
	if cmd.topics != nil {
		dst = append(dst, ']')
	}
	if cmd.token != "" {
		dst = wire.AppendString(append(dst, `,"token":`...), cmd.token)
	}
	return append(dst, '}')
}

// say sends a command, and gives its ref. If it could not be sent the connection is about to end,
// which its reader tells.
func (l *loop) say(cmd command) (ref string) {
	l.refs++
	ref = strconv.Itoa(l.refs)
	_ = l.conn.send(cmd.appendJSON(nil, ref))
	return ref
}

func sameSet(a, b []string) bool { return len(without(a, b)) == 0 && len(without(b, a)) == 0 }

// without gives those of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
