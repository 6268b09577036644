package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// secureHost is the host name in the certificate of the measured hub.
const secureHost = "bench.invalid"

// certificate is the certificate of the measured hubs.
type certificate struct {
	dir       string // temporary directory; close removes it
	cert, key string // paths of the PEM files in dir
	roots     *x509.CertPool
	sessions  tls.ClientSessionCache // sessions are resumed, so that only the first connection costs a signature
}

// newCertificate creates a certificate and writes it to files.
func newCertificate() (*certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{secureHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, err
	}
	c := &certificate{roots: x509.NewCertPool(), sessions: tls.NewLRUClientSessionCache(1)}
	c.roots.AddCert(parsed)
	if c.dir, err = os.MkdirTemp("", "trivium-bench-"); err != nil {
		return nil, err
	}
	c.cert, c.key = filepath.Join(c.dir, "cert.pem"), filepath.Join(c.dir, "key.pem")
	return c, errors.Join(
		os.WriteFile(c.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(c.key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600),
	)
}

func (c *certificate) close() error {
	if c == nil {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// flags returns the flags of a hub that serves TLS. The --read-timeout is long, because the load performs one TLS
// handshake after the other, and a connection may wait for a long time until its handshake begins.
func (c *certificate) flags() []string {
	return []string{"--tls-cert", c.cert, "--tls-key", c.key, "--read-timeout", handshakeTimeout.String()}
}

// client returns the TLS configuration of subscribers, or nil if secure is "", which means plain TCP.
func (c *certificate) client(secure string) *tls.Config {
	if secure == "" {
		return nil
	}
	config := &tls.Config{RootCAs: c.roots, ServerName: secureHost, ClientSessionCache: c.sessions}
	if secure == HTTP2 {
		config.NextProtos = []string{"h2"}
	}
	return config
}

// handshakeTimeout is the timeout of one read or write in a TLS handshake.
const handshakeTimeout = time.Minute

// startTLS performs the TLS handshake. While it blocks, no other connection is read.
func (c *conn) startTLS(config *tls.Config) error {
	c.tls = tls.Client(descriptor(c.fd), config)
	timeout := unix.NsecToTimeval(int64(handshakeTimeout))
	err := errors.Join(
		unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
		unix.SetNonblock(c.fd, false),
	)
	if err != nil {
		return err
	}
	if err := c.tls.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return unix.SetNonblock(c.fd, true)
}

// readTLS reads until a read would block. One read is not enough: package tls may have buffered records that epoll does
// not report.
func (l *load) readTLS(c *conn) error {
	for {
		n, err := c.tls.Read(l.buf)
		switch {
		case errors.Is(err, errWouldBlock):
			return nil
		case err == io.EOF:
			return errClosed
		case err != nil:
			return err
		}
		if err := l.decode(c, n); err != nil {
			return err
		}
	}
}

// descriptor is a file descriptor that implements net.Conn. If a read would block, Read returns errWouldBlock. Package
// tls then keeps the part of the record that it has read, and continues at the next call of Read.
type descriptor int

// errWouldBlock is a temporary net.Error.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "the read would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// Read implements net.Conn.
func (d descriptor) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn. It returns errNoRoom if the send buffer of the socket cannot hold all of p.
func (d descriptor) Write(p []byte) (int, error) {
	n, err := unix.Write(int(d), p)
	if err == nil && n < len(p) {
		err = errNoRoom
	}
	return max(n, 0), err
}

var (
	errNoRoom = errors.New("a request does not fit into the send buffer of the socket")
	errClosed = errors.New("the hub closed the connection")
)

// The remaining methods of net.Conn do nothing. In particular, Close does not close the socket, because load.drop does.

func (descriptor) Close() error                     { return nil }
func (descriptor) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (descriptor) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (descriptor) SetDeadline(time.Time) error      { return nil }
func (descriptor) SetReadDeadline(time.Time) error  { return nil }
func (descriptor) SetWriteDeadline(time.Time) error { return nil }
