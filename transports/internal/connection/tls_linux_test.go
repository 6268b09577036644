package connection

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tlsTimeout is the timeout for each result that a test waits for. It is long enough for a busy machine.
const tlsTimeout = 3 * time.Minute

// secured contains both ends of a TLS connection. The server's end reads and writes without blocking.
type secured struct {
	t      *testing.T
	server *tlsConn
	client *tls.Conn
	raw    *net.TCPConn  // the client's socket, with a small receive buffer
	write  *recordWriter // encrypts records of the client; nil if the version is not TLS 1.3
}

// tlsVersions contains client configurations by the TLS version that they negotiate.
var tlsVersions = map[string]*tls.Config{
	"1.3": {},
	"1.2": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
	"1.2 ChaCha20": {
		MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
	},
}

func newSecured(t *testing.T, config *tls.Config) *secured {
	l := listen(t, false)
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		closed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
		return errors.Join(closed, err)
	}}
	raw, err := dialer.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, raw.SetDeadline(time.Now().Add(tlsTimeout)))
	accepted, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		raw.Close()
		accepted.Close()
	})
	config, keyLog := config.Clone(), new(bytes.Buffer)
	config.InsecureSkipVerify, config.KeyLogWriter = true, keyLog
	s := &secured{t: t, client: tls.Client(raw, config), raw: raw.(*net.TCPConn)}
	server := tls.Server(accepted, SelfSigned())
	done := make(chan error, 1)
	go func() { done <- s.client.Handshake() }()
	require.NoError(t, server.Handshake())
	require.NoError(t, <-done)
	s.server = NewConn(server, l.WriteTimeout).(*tlsConn)
	s.server.beginTryReads()
	if config.MaxVersion == 0 {
		s.write = newRecordWriter(t, s.client, keyLog)
	}
	return s
}

// send sends bytes from the client to the server, without encrypting them.
func (s *secured) send(b []byte) {
	_, err := s.raw.Write(b)
	require.NoError(s.t, err)
}

// read reads on the server's side until it has at least n bytes and no more input is available. It
// returns the first error.
func (s *secured) read(n int) (got []byte, err error) {
	p := make([]byte, 100)
	for end := time.Now().Add(tlsTimeout); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for more := true; more; {
			k, err := s.server.TryRead(p)
			got, more = append(got, p[:k]...), k == len(p)
			if err != nil {
				return got, err
			}
		}
		if len(got) >= n {
			return got, nil
		}
	}
	return got, os.ErrDeadlineExceeded
}

// receive is like read, and requires that there is no error.
func (s *secured) receive(n int) []byte {
	got, err := s.read(n)
	require.NoError(s.t, err)
	return got
}

// readError reads until TryRead returns an error, and returns that error.
func (s *secured) readError() error {
	_, err := s.read(math.MaxInt)
	return err
}

// fillHeld writes random bytes until the connection holds some, and returns all bytes written.
func (s *secured) fillHeld() (written []byte) {
	for !s.server.Buffered() {
		p := make([]byte, 1000)
		for i := range p {
			p[i] = byte(rand.Uint32())
		}
		n, err := s.server.TryWrite(p)
		require.NoError(s.t, err)
		written = append(written, p[:n]...)
	}
	return written
}

// The peer receives every byte, even if the connection blocks many times within a record.
func TestTLSWritesEveryByte(t *testing.T) {
	for name, config := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSecured(t, config)
			var want []byte
			for _, size := range []int{1, 100, 16 << 10, 16<<10 + 1, 1 << 20, 3, 200_000} {
				for range size {
					want = append(want, byte(rand.Uint32()))
				}
			}
			var got []byte
			var failed error
			var reader sync.WaitGroup
			reader.Go(func() {
				got = make([]byte, len(want))
				_, failed = io.ReadFull(s.client, got)
			})
			for rest := want; len(rest) > 0; {
				p := rest[:min(len(rest), 1+rand.IntN(100_000))]
				n, err := s.server.TryWrite(p)
				require.NoError(t, err)
				require.LessOrEqual(t, len(s.server.progress.nonblocking.unsent), maxEncrypted+2<<10)
				if n < len(p) || s.server.Buffered() {
					require.NoError(t, s.server.Write(p[n:], 0))
					require.False(t, s.server.Buffered())
				}
				rest = rest[len(p):]
			}
			reader.Wait()
			require.NoError(t, failed)
			require.True(t, bytes.Equal(want, got))
		})
	}
}

// The server reads messages correctly if each byte of their records arrives separately.
func TestTLSReadsPartsOfRecords(t *testing.T) {
	s := newSecured(t, tlsVersions["1.3"])
	var got []byte
	for _, text := range []string{"first", "x", "the third message"} {
		for _, b := range s.write.data(text) {
			s.send([]byte{b})
			got = append(got, s.receive(0)...)
		}
	}
	const want = "firstxthe third message"
	got = append(got, s.receive(len(want)-len(got))...)
	require.Equal(t, want, string(got))
	require.Zero(t, retainedByTLS(s.server.conn.(*tls.Conn)))
}

// If TryRead has no space for all input, the next call reads the rest.
func TestTLSReadsRestOfRecord(t *testing.T) {
	s := newSecured(t, tlsVersions["1.2"])
	want := bytes.Repeat([]byte("0123456789"), 1000)
	_, err := s.client.Write(want)
	require.NoError(t, err)
	require.Equal(t, want, s.receive(len(want)))
}

// If the connection cannot be watched, a goroutine reads from it instead. After endTryReads, reads
// block again.
func TestTLSReadsBlockUnlessWatched(t *testing.T) {
	s := newSecured(t, tlsVersions["1.3"])
	s.server.endTryReads()
	var client sync.WaitGroup
	var failed error
	client.Go(func() {
		time.Sleep(time.Millisecond) // the delay lets the read block
		_, failed = s.client.Write([]byte("x"))
	})
	p := make([]byte, 100)
	n, err := s.server.conn.Read(p)
	client.Wait()
	require.NoError(t, errors.Join(err, failed))
	require.Equal(t, "x", string(p[:n]))
}

// The peer changes its key and asks the server to change the server's key (KeyUpdate). TLS sends its
// answer, even if the connection is blocked when the request arrives.
func TestTLSAnswersKeyUpdates(t *testing.T) {
	for name, blocked := range map[string]bool{"idle": false, "blocked": true} {
		t.Run(name, func(t *testing.T) {
			s := newSecured(t, tlsVersions["1.3"])
			var want []byte
			if blocked {
				want = s.fillHeld()
			}
			for range 10 { // the client refuses more than 16 answers without data in between
				s.send(append(s.write.keyUpdate(), s.write.data("x")...))
				require.Equal(t, "x", string(s.receive(1)))
			}
			require.Equal(t, blocked, s.server.Buffered())
			want = append(want, "last"...)
			var reader sync.WaitGroup
			var failed error
			got := make([]byte, len(want))
			reader.Go(func() { _, failed = io.ReadFull(s.client, got) })
			require.NoError(t, s.server.Write([]byte("last"), 0))
			reader.Wait()
			require.NoError(t, failed)
			require.True(t, bytes.Equal(want, got))
		})
	}
}

// A peer that does not read, and repeatedly asks the server to change its key, cannot make the hub hold
// an unlimited number of answers.
func TestTLSLimitsKeyUpdates(t *testing.T) {
	s := newSecured(t, tlsVersions["1.3"])
	s.fillHeld()
	const answer, together = 27, 50 // size of an answer in bytes, and number of key updates that are sent together
	rounds, failed := 0, error(nil)
	for ; failed == nil; rounds++ {
		var updates []byte
		for range together {
			updates = append(append(updates, s.write.keyUpdate()...), s.write.data("x")...)
		}
		s.send(updates)
		_, failed = s.read(together)
		require.LessOrEqual(t, len(s.server.progress.nonblocking.unsent), maxUnsent)
	}
	require.Error(t, failed)
	require.LessOrEqual(t, rounds, maxUnsent/answer/together+1)
	require.True(t, s.server.Buffered(), "Buffered must return true, so that the Writer detects the failure")
	require.ErrorIs(t, s.server.Write(nil, 0), ErrNoProgress)
	_, err := s.server.TryWrite([]byte("x"))
	require.ErrorIs(t, err, ErrNoProgress)
}

// A record that was altered in transit ends the connection, and the peer receives an alert.
func TestTLSRefusesChangedRecord(t *testing.T) {
	s := newSecured(t, tlsVersions["1.3"])
	b := s.write.data("x")
	b[len(b)-1] ^= 1
	s.send(b)
	require.ErrorContains(t, s.readError(), "bad record MAC")
	_, err := s.client.Read(make([]byte, 1))
	require.ErrorContains(t, err, "bad record MAC")
}

func TestTLSReadsEndOfStream(t *testing.T) {
	for name, row := range map[string]struct {
		end func(*secured)
		err error
	}{
		"close_notify":        {func(s *secured) { require.NoError(s.t, s.client.CloseWrite()) }, io.EOF},
		"end between records": {func(s *secured) { require.NoError(s.t, s.raw.CloseWrite()) }, io.EOF},
		"end in a record": {func(s *secured) {
			s.send(s.write.data("x")[:10])
			require.NoError(s.t, s.raw.CloseWrite())
		}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecured(t, tlsVersions["1.3"])
			require.False(t, s.server.PeerClosed())
			row.end(s)
			if name != "close_notify" {
				require.Eventually(t, s.server.PeerClosed, tlsTimeout, time.Millisecond)
			}
			require.Equal(t, row.err, s.readError())
			n, err := s.server.TryWrite([]byte("x"))
			require.NoError(t, err)
			require.Equal(t, 1, n)
			_, err = io.ReadFull(s.client, make([]byte, 1))
			require.NoError(t, err)
		})
	}
}

// Close may be called while other goroutines read from the connection and send held bytes.
func TestTLSCloseWhileReadingAndSending(t *testing.T) {
	for range 20 {
		s := newSecured(t, tlsVersions["1.3"])
		s.fillHeld()
		s.send(append(s.write.keyUpdate(), s.write.data("x")...))
		var all sync.WaitGroup
		proceed := make(chan struct{})
		all.Go(func() {
			<-proceed
			for p := make([]byte, 100); ; {
				if _, err := s.server.TryRead(p); err != nil {
					return
				}
			}
		})
		all.Go(func() {
			<-proceed
			_ = s.server.Write([]byte("x"), 0) // the peer does not read, so only Close ends it
		})
		close(proceed)
		s.server.Close()
		all.Wait()
	}
}
