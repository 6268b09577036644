package decode

import (
	"bufio"
	"io"
	"strings"
)

// SSEEvent is one event of an event stream.
type SSEEvent struct {
	ID    string // the last event ID: the value of the newest id field in this or an earlier event
	Type  string // empty if the event has no name
	Topic string // empty if absent
	Data  string // lines joined by LF
}

// SSEDecoder decodes an event stream (section 9.2.6 of the WHATWG HTML standard). It supports only LF
// as line end, because the hub sends no other line ends.
type SSEDecoder struct {
	r    *bufio.Reader
	id   string // the last event ID
	next SSEEvent
	data []string
}

// NewSSEDecoder returns a decoder that reads from r.
func NewSSEDecoder(r io.Reader) *SSEDecoder { return &SSEDecoder{r: bufio.NewReader(r)} }

// Next returns the next event that has data. At the end of the stream it returns io.EOF; an incomplete event before the
// end is dropped.
func (d *SSEDecoder) Next() (SSEEvent, error) {
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return SSEEvent{}, err
		}
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			d.field(line)
			continue
		}
		e, data := d.next, d.data
		d.next, d.data = SSEEvent{}, nil
		if e.ID = d.id; data != nil {
			e.Data = strings.Join(data, "\n")
			return e, nil
		}
	}
}

func (d *SSEDecoder) field(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "event":
		d.next.Type = value
	case "topic":
		d.next.Topic = value
	case "id":
		d.id = value
	case "data":
		d.data = append(d.data, value)
	}
}
