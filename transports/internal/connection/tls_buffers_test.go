package connection

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Without these fields, an idle connection with TLS keeps the memory of its handshake. If a new version of Go renames them,
// tlsBufferNames must be changed.
func TestTLSBufferFields(t *testing.T) {
	require.Len(t, tlsBuffers, len(tlsBufferNames))
}

// fedConn is a connection whose input the test provides. Without input, a read would block.
type fedConn struct {
	net.Conn
	input *bytes.Buffer // nil: read from Conn
}

var errNothingFed net.Error = nothingFed{}

type nothingFed struct{}

func (nothingFed) Error() string   { return "the read would block" }
func (nothingFed) Timeout() bool   { return true }
func (nothingFed) Temporary() bool { return true }

func (c *fedConn) Read(p []byte) (int, error) {
	switch {
	case c.input == nil:
		return c.Conn.Read(p)
	case c.input.Len() == 0:
		return 0, errNothingFed
	}
	return c.input.Read(p)
}

// tappedConn collects the bytes that are written to it.
type tappedConn struct {
	net.Conn
	output *bytes.Buffer // nil: write to Conn
}

func (c *tappedConn) Write(p []byte) (int, error) {
	if c.output == nil {
		return c.Conn.Write(p)
	}
	return c.output.Write(p)
}

// fedTLS returns a connection with TLS after its handshake, and a client. The test provides the input of the
// connection. records receives the encrypted output of the client.
func fedTLS(t *testing.T, version uint16) (server *tls.Conn, fed *fedConn, client *tls.Conn, records *bytes.Buffer) {
	here, there := net.Pipe()
	t.Cleanup(func() {
		here.Close()
		there.Close()
	})
	fed, tap := &fedConn{Conn: here}, &tappedConn{Conn: there}
	config := SelfSigned().Clone()
	config.MaxVersion = version
	config.SessionTicketsDisabled = true // so that the client need not read after its handshake
	server, client = tls.Server(fed, config), tls.Client(tap, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	require.NoError(t, server.Handshake())
	require.NoError(t, <-done)
	records = new(bytes.Buffer)
	fed.input, tap.output = new(bytes.Buffer), records
	return server, fed, client, records
}

// retainedByTLS returns the size of the buffers that ReleaseTLSBuffers frees.
func retainedByTLS(c *tls.Conn) (size int) {
	for _, offset := range tlsBuffers {
		size += (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset)).Cap()
	}
	return size
}

// The input is received in two parts, and the buffers are released after each read. Nothing is lost, wherever the input is
// divided: within a record, between two, or while decrypted bytes were not read yet.
func TestReleaseTLSBuffers(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			server, fed, client, records := fedTLS(t, version)
			require.NotZero(t, retainedByTLS(server))
			ReleaseTLSBuffers(server)
			require.Zero(t, retainedByTLS(server))
			for split := 0; ; split++ {
				records.Reset()
				for _, text := range []string{"first", "x", "the third message"} {
					_, err := client.Write([]byte(text))
					require.NoError(t, err)
				}
				input := records.Bytes()
				var got []byte
				for _, part := range [][]byte{input[:min(split, len(input))], input[min(split, len(input)):]} {
					fed.input.Write(part)
					got = append(got, readFed(t, server)...)
				}
				require.Equal(t, "firstxthe third message", string(got), split)
				require.Zero(t, retainedByTLS(server))
				if split == len(input) {
					break
				}
			}
			records.Reset()
			require.NoError(t, client.CloseWrite())
			fed.input.Write(records.Bytes())
			_, err := server.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
		})
	}
}

// readFed reads until a read would block. It releases the buffers after each read.
func readFed(t *testing.T, c *tls.Conn) (got []byte) {
	for {
		p := make([]byte, 4)
		n, err := c.Read(p)
		ReleaseTLSBuffers(c)
		if errors.Is(err, errNothingFed) {
			return got
		}
		require.NoError(t, err)
		got = append(got, p[:n]...)
	}
}

// A connection without TLS has no such buffers.
func TestReleaseTLSBuffersOfPlainConnection(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	ReleaseTLSBuffers(here)
}
