package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// These are the types and flags of HTTP/2 frames (RFC 9113, section 6).
const (
	h2Data         = 0
	h2Headers      = 1
	h2Reset        = 3
	h2Settings     = 4
	h2Ping         = 6
	h2GoAway       = 7
	h2WindowUpdate = 8

	h2Ack, h2EndStream, h2EndHeaders, h2Padded = 1, 1, 4, 8

	h2FrameHeader = 9
	h2MaxFrame    = 16 << 10 // the default of SETTINGS_MAX_FRAME_SIZE
	h2MaxWindow   = 1<<31 - 1
	h2Window      = 1<<16 - 1 // initial size of a flow-control window
)

// h2Frame appends a frame to dst.
func h2Frame(dst []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	dst = append(dst, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return append(binary.BigEndian.AppendUint32(dst, stream), payload...)
}

// h2Request returns the bytes with which a client begins a connection: the preface and one GET request. The flow-control
// windows are as large as possible, so that the client need not enlarge them later.
func h2Request(host, path, token string) []byte {
	p := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	p = h2Frame(p, h2Settings, 0, 0, []byte{0, 4, 0x7f, 0xff, 0xff, 0xff}) // SETTINGS_INITIAL_WINDOW_SIZE
	p = h2Frame(p, h2WindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, h2MaxWindow-h2Window))
	var block headerBlock
	encoder := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: http.MethodGet}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: host},
		{Name: ":path", Value: path}, {Name: "accept", Value: "text/event-stream"},
	}
	if token != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: "Bearer " + token, Sensitive: true})
	}
	for _, f := range fields {
		_ = encoder.WriteField(f) // never fails, because Write of headerBlock does not
	}
	return h2Frame(p, h2Headers, h2EndStream|h2EndHeaders, 1, block)
}

// headerBlock collects an encoded header.
type headerBlock []byte

func (b *headerBlock) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// http2Decoder decodes the answer to GET /sse on an HTTP/2 connection that has only this stream.
type http2Decoder struct {
	partial partial // beginning of a frame that is not complete
	fields  *hpack.Decoder
	events  sseDecoder
}

func (d *http2Decoder) feed(p []byte, emit func(message)) error {
	p = d.partial.join(p)
	for len(p) >= h2FrameHeader {
		size := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
		if size > h2MaxFrame {
			return fmt.Errorf("received an HTTP/2 frame of %d bytes, want at most %d", size, h2MaxFrame)
		}
		if len(p) < h2FrameHeader+size {
			break
		}
		if err := d.frame(p[3], p[4], p[h2FrameHeader:h2FrameHeader+size], emit); err != nil {
			return err
		}
		p = p[h2FrameHeader+size:]
	}
	d.partial.keep(p)
	return nil
}

// frame decodes one frame.
func (d *http2Decoder) frame(kind, flags byte, payload []byte, emit func(message)) error {
	switch kind {
	case h2Data:
		if flags&h2Padded != 0 {
			return errors.New("received a DATA frame with padding, which the bench does not support")
		}
		d.events.blocks(payload, emit)
		if flags&h2EndStream != 0 {
			emit(message{kind: kindEnd})
		}
	case h2Headers:
		return d.headers(flags, payload)
	case h2Reset, h2GoAway:
		emit(message{kind: kindEnd, data: payload})
	case h2Settings:
		if flags&h2Ack == 0 {
			emit(message{kind: kindReply, data: h2Frame(nil, h2Settings, h2Ack, 0, nil)})
		}
	case h2Ping:
		if flags&h2Ack == 0 {
			emit(message{kind: kindReply, data: h2Frame(nil, h2Ping, h2Ack, 0, payload)})
		}
	}
	return nil
}

// headers decodes the header of the answer and returns an error unless its status is 200.
func (d *http2Decoder) headers(flags byte, block []byte) error {
	if flags&h2EndHeaders == 0 || flags&h2Padded != 0 {
		return errors.New("received a HEADERS frame with padding or a continuation, which the bench does not support")
	}
	if d.fields == nil {
		d.fields = hpack.NewDecoder(4096, nil)
	}
	fields, err := d.fields.DecodeFull(block)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	for _, f := range fields {
		if status, err := strconv.Atoi(f.Value); f.Name == ":status" && (err != nil || status != http.StatusOK) {
			return refused(status)
		}
	}
	d.fields = nil // frees memory; the answer has only one header
	return nil
}
