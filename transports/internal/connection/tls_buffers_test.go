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

// If a new version of Go renames the fields of tls.Conn, ReleaseTLSBuffers frees nothing, and an idle
// connection keeps the memory of its handshake. Then tlsBufferNames must be changed.
func TestTLSBufferFields(t *testing.T) {
	require.Len(t, tlsBuffers, len(tlsBufferNames))
}

// fedConn is a connection whose Read returns the bytes in input. If input is empty, Read returns
// errNothingFed.
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

// tappedConn is a connection that appends written bytes to output.
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

// fedTLS returns both ends of a TLS connection after the handshake. The encrypted output of the client
// is appended to records. The test then moves it to fed.input, from which the server reads.
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

// The server receives its input in two parts, and releases its buffers after each read. No bytes are
// lost, wherever the input is divided: within a record, between two records, or while decrypted bytes
// are unread.
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

// ReleaseTLSBuffers accepts connections without TLS.
func TestReleaseTLSBuffersOfPlainConnection(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	ReleaseTLSBuffers(here)
}
