package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
)

// sseDecoder decodes the event stream of /sse (docs/protocol.md#server-sent-events). Each event has
// one data line.
type sseDecoder struct {
	head    head
	opened  bool
	chunks  dechunker
	partial partial // beginning of a block that is not complete
}

// partial contains the beginning of a block or frame that is not complete.
type partial []byte

// join returns the stored bytes followed by p. The caller must decode them, and then call keep with the
// bytes that it could not decode.
func (b *partial) join(p []byte) []byte {
	if len(*b) == 0 {
		return p
	}
	*b = append(*b, p...)
	return *b
}

// keep stores the part of the joined bytes that the caller could not decode yet.
func (b *partial) keep(rest []byte) { *b = append((*b)[:0], rest...) }

func (d *sseDecoder) feed(p []byte, emit func(message)) error {
	if !d.opened {
		rest, done, err := d.head.feed(p, http.StatusOK)
		if !done || err != nil {
			return err
		}
		d.opened, p = true, rest
		d.head.buf = nil
	}
	if !d.head.chunked {
		d.blocks(p, emit)
		return nil
	}
	for len(p) > 0 {
		content, rest, _, err := d.chunks.next(p)
		if err != nil {
			return err
		}
		d.blocks(content, emit)
		p = rest
	}
	return nil
}

// blocks decodes the complete blocks in p, and stores the incomplete block at the end in d.partial.
func (d *sseDecoder) blocks(p []byte, emit func(message)) {
	p = d.partial.join(p)
	for {
		end := bytes.Index(p, []byte("\n\n"))
		if end < 0 {
			break
		}
		block(p[:end], emit)
		p = p[end+2:]
	}
	d.partial.keep(p)
}

func block(p []byte, emit func(message)) {
	var m message
	var name []byte
	for len(p) > 0 {
		line, rest, _ := bytes.Cut(p, []byte("\n"))
		p = rest
		field, value, _ := bytes.Cut(line, []byte(": "))
		switch string(field) {
		case "id":
			m.id = value
		case "event":
			name = value
		case "data":
			m.data = value
		}
	}
	switch string(name) {
	case "":
		m.kind = kindEvent
	case "trivium.open":
		m.kind = kindOpen
	case "trivium.gap":
		m.kind = kindGap
	case "trivium.error", "trivium.goaway":
		m.kind = kindEnd
	default: // any other control message, such as a heartbeat, is not passed on
		return
	}
	emit(m)
}

// socketDecoder decodes the messages of /ws (docs/protocol.md#websocket).
type socketDecoder struct {
	head    head
	opened  bool
	partial partial // beginning of a frame that is not complete
}

func (d *socketDecoder) feed(p []byte, emit func(message)) error {
	if !d.opened {
		rest, done, err := d.head.feed(p, http.StatusSwitchingProtocols)
		if !done || err != nil {
			return err
		}
		d.opened, p = true, rest
		d.head.buf = nil
	}
	p = d.partial.join(p)
	for {
		n, err := frame(p, emit)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		p = p[n:]
	}
	d.partial.keep(p)
	return nil
}

const (
	opText  = 0x81 // text frame with FIN
	opClose = 0x88
	opPing  = 0x89
)

// frame decodes the frame at the beginning of p and returns its length, or 0 if the frame is not
// complete.
func frame(p []byte, emit func(message)) (int, error) {
	if len(p) < 2 {
		return 0, nil
	}
	at, size := 2, uint64(p[1])
	switch {
	case size == 126 && len(p) >= 4:
		at, size = 4, uint64(binary.BigEndian.Uint16(p[2:]))
	case size == 127 && len(p) >= 10:
		at, size = 10, binary.BigEndian.Uint64(p[2:])
	case size == 126, size == 127:
		return 0, nil
	case size > 127:
		return 0, errors.New("received a masked WebSocket frame, which a server must not send")
	}
	if size > uint64(len(p)-at) {
		return 0, nil
	}
	end := at + int(size)
	switch body := p[at:end]; p[0] {
	case opText:
		text(body, emit)
	case opClose:
		emit(message{kind: kindEnd, data: body})
	case opPing:
		emit(message{kind: kindPing, data: body})
	default:
		return 0, fmt.Errorf("unexpected frame %#x", p[0])
	}
	return end, nil
}

// text decodes a WebSocket message: an envelope or a control message.
func text(p []byte, emit func(message)) {
	if !bytes.HasPrefix(p, []byte(`{"op":`)) {
		emit(message{kind: kindEvent, id: member(p, `"id":"`), data: data(p)})
		return
	}
	switch op := member(p, `"op":"`); string(op) {
	case "hello":
		emit(message{kind: kindOpen, id: member(p, `"id":"`)})
	case "gap":
		emit(message{kind: kindGap, data: p})
	case "error", "goaway":
		emit(message{kind: kindEnd, data: p})
	}
}

// member returns the string value of the first JSON member in p that begins with prefix. The prefix
// includes the opening quote of the value, for example `"id":"`. The value must not contain escapes.
func member(p []byte, prefix string) []byte {
	_, after, _ := bytes.Cut(p, []byte(prefix))
	value, _, _ := bytes.Cut(after, []byte(`"`))
	return value
}

// data returns the value of the member "data" of the first envelope in p, including its quotes, or nil
// if the value is not a string.
func data(p []byte) []byte {
	const name = `"data":`
	at := bytes.Index(p, []byte(name))
	if at < 0 {
		return nil
	}
	p = p[at+len(name):]
	if len(p) == 0 || p[0] != '"' {
		return nil
	}
	end := bytes.IndexByte(p[1:], '"')
	if end < 0 {
		return nil
	}
	return p[:end+2]
}

// pollDecoder decodes the answers to /poll (docs/protocol.md#long-poll) on a persistent connection.
type pollDecoder struct {
	head   head
	inBody bool
	chunks dechunker
	body   []byte
}

func (d *pollDecoder) feed(p []byte, emit func(message)) error {
	for len(p) > 0 {
		if !d.inBody {
			rest, done, err := d.head.feed(p, http.StatusOK)
			if !done || err != nil {
				return err
			}
			if d.head.length < 0 && !d.head.chunked {
				return errors.New("the poll answer has no Content-Length and is not chunked")
			}
			d.inBody, p = true, rest
		}
		rest, ended, err := d.appendBody(p)
		if err != nil {
			return err
		}
		p = rest
		if ended {
			d.inBody = false
			answer(d.body, emit)
			d.body = d.body[:0]
		}
	}
	return nil
}

// appendBody appends bytes to the body of the current answer.
func (d *pollDecoder) appendBody(p []byte) (rest []byte, ended bool, err error) {
	if !d.head.chunked {
		n := min(len(p), d.head.length-len(d.body))
		d.body = append(d.body, p[:n]...)
		return p[n:], len(d.body) == d.head.length, nil
	}
	for len(p) > 0 && !ended {
		var content []byte
		if content, p, ended, err = d.chunks.next(p); err != nil {
			return nil, false, err
		}
		d.body = append(d.body, content...)
	}
	return p, ended, nil
}

func answer(p []byte, emit func(message)) {
	if bytes.Contains(p, []byte(`"gap":{`)) {
		emit(message{kind: kindGap})
	}
	cursor := member(p, `"cursor":"`)
	for rest := p; ; {
		at := bytes.Index(rest, []byte(`"data":`))
		if at < 0 {
			break
		}
		emit(message{kind: kindEvent, data: data(rest)})
		rest = rest[at+1:]
	}
	emit(message{kind: kindAnswer, id: cursor})
}
