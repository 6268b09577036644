package connection

import (
	"bytes"
	"crypto/tls"
	"net"
	"reflect"
	"unsafe"
)

// tlsBufferNames are the fields of tls.Conn that hold received bytes. Each is a bytes.Buffer, which never
// shrinks: it keeps the size of the largest message or record that the connection has received.
var tlsBufferNames = []string{"rawInput", "hand"}

// tlsBuffers are the offsets of these fields in a tls.Conn.
var tlsBuffers = tlsBufferOffsets()

// tlsBufferOffsets returns the offsets of the fields. It leaves out fields that this version of Go does
// not have.
func tlsBufferOffsets() (offsets []uintptr) {
	conn := reflect.TypeFor[tls.Conn]()
	for _, name := range tlsBufferNames {
		if f, ok := conn.FieldByName(name); ok && f.Type == reflect.TypeFor[bytes.Buffer]() {
			offsets = append(offsets, f.Offset)
		}
	}
	return offsets
}

// ReleaseTLSBuffers frees the memory of the buffers into which a TLS connection receives records. It
// keeps unread bytes in new buffers of their size. It has no effect on connections without TLS. Only
// the goroutine that reads from the connection may call it, between two reads.
func ReleaseTLSBuffers(c net.Conn) {
	over, ok := c.(*tls.Conn)
	if !ok {
		return
	}
	for _, offset := range tlsBuffers {
		b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(over), offset))
		// If decrypted bytes are still unread, they keep the old buffer in memory, because they are a
		// slice of it.
		*b = *bytes.NewBuffer(bytes.Clone(b.Bytes()))
	}
}
