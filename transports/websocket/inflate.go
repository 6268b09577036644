package websocket

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"strings"
	"sync"
)

// inflateTail is what a compressed message leaves out (RFC 7692, section 7.2.2), and an empty last
// block, at which reading ends.
const inflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflate undoes the compression of one message, up to limit bytes.
func inflate(dst, compressed *bytes.Buffer, limit int64, to receiver) *violation {
	held := compressed.Cap()
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	// No message depends on one before it: no context takeover was agreed on.
	if err := r.(flate.Resetter).Reset(io.MultiReader(compressed, strings.NewReader(inflateTail)), nil); err != nil {
		return badFrame
	}
	for {
		if v := grow(dst, 1, held, limit+1, to); v != nil {
			return v
		}
		n, err := r.Read(dst.AvailableBuffer()[:dst.Available()])
		dst.Write(dst.AvailableBuffer()[:n])
		switch {
		case int64(dst.Len()) > limit:
			return tooBig
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return badFrame
		}
	}
}
