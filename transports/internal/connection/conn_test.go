package connection

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scripted is a connection on which all writes except the last reach their deadline.
type scripted struct {
	net.Conn
	accepts []int // number of bytes that each of these writes accepts before its deadline
}

func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

func (c *scripted) Write(p []byte) (int, error) {
	if len(c.accepts) == 0 {
		return len(p), nil
	}
	n := c.accepts[0]
	c.accepts = c.accepts[1:]
	return n, os.ErrDeadlineExceeded
}

// memory is a connection whose TryWrite appends to written, up to the capacity of written.
type memory struct {
	net.Conn
	written []byte
}

func (c *memory) TryWrite(p []byte) (int, error) {
	n := min(len(p), cap(c.written)-len(c.written))
	c.written = append(c.written, p[:n]...)
	return n, nil
}

// If a net.Conn has a method TryWrite, the Conn from NewConn calls that method.
func TestTryWriterIsWrittenDirectly(t *testing.T) {
	m := &memory{written: make([]byte, 0, 7)}
	c := NewConn(m, time.Second)
	for _, n := range []int{5, 2, 0} {
		written, err := c.TryWrite([]byte("hello"))
		require.NoError(t, err)
		require.Equal(t, n, written)
	}
	require.Equal(t, "hellohe", string(m.written))
	require.False(t, c.PeerClosed())
	require.True(t, c.End())
}

// Bytes that the peer has acknowledged between two deadlines count as progress, whether or not the
// kernel has accepted more bytes.
func TestProgressExtendsDeadline(t *testing.T) {
	for name, row := range map[string]struct {
		accepts []int
		queued  []int // number of unacknowledged bytes before the write and at each deadline
		err     error
	}{
		"written before the deadline":       {nil, []int{0}, nil},
		"accepted at each deadline":         {[]int{1, 1, 1}, []int{0, 9, 9, 9}, nil},
		"acknowledged at each deadline":     {[]int{0, 0}, []int{9, 8, 7}, nil},
		"neither accepted nor acknowledged": {[]int{0}, []int{9, 9}, ErrNoProgress},
		"acknowledged only at first":        {[]int{0, 0}, []int{9, 8, 8}, ErrNoProgress},
		"accepted and then acknowledged":    {[]int{5, 0}, []int{0, 9, 8}, nil},
		"accepted and then no progress":     {[]int{5, 0}, []int{99, 9, 9}, ErrNoProgress},
	} {
		queued, row := row.queued[0], row
		moved := func() bool {
			row.queued = row.queued[1:]
			before := queued
			queued = row.queued[0]
			return queued < before
		}
		require.Equal(t, row.err, writeAll(&scripted{accepts: row.accepts}, make([]byte, 20), time.Second, moved), name)
	}
	require.Equal(t, ErrNoProgress, writeAll(&scripted{accepts: []int{5, 0}}, make([]byte, 20), time.Second, nil))
	require.NoError(t, writeAll(&scripted{accepts: []int{5, 1}}, make([]byte, 20), time.Second, nil))
}
