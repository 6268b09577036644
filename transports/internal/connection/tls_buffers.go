package connection

import (
	"bytes"
	"crypto/tls"
	"net"
	"reflect"
	"unsafe"
)

// tlsBufferNames are the fields of tls.Conn that hold received bytes. Both are a bytes.Buffer, which never shrinks: after
// the handshake they keep the size of the ClientHello, and later that of the largest record.
var tlsBufferNames = []string{"rawInput", "hand"}

// tlsBuffers are the offsets of these fields in a tls.Conn.
var tlsBuffers = tlsBufferOffsets()

// tlsBufferOffsets returns the offsets of the fields, without those that this version of Go does not have.
func tlsBufferOffsets() (offsets []uintptr) {
	conn := reflect.TypeFor[tls.Conn]()
	for _, name := range tlsBufferNames {
		if f, ok := conn.FieldByName(name); ok && f.Type == reflect.TypeFor[bytes.Buffer]() {
			offsets = append(offsets, f.Offset)
		}
	}
	return offsets
}

// ReleaseTLSBuffers frees the buffers in which a connection with TLS has received records. Bytes that are still in them are
// kept. It has no effect on connections without TLS. Only the goroutine that reads from the connection may call it, between two reads.
func ReleaseTLSBuffers(c net.Conn) {
	over, ok := c.(*tls.Conn)
	if !ok {
		return
	}
	for _, offset := range tlsBuffers {
		b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(over), offset))
		// Decrypted bytes that were not read yet are a slice of the old buffer, and keep it in memory until they are read.
		*b = *bytes.NewBuffer(bytes.Clone(b.Bytes()))
	}
}
