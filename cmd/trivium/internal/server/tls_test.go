package server

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/reload"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// certificatePair holds the paths of a certificate and of its key.
type certificatePair struct{ settings.TLSConfig }

func pairIn(dir string) *certificatePair {
	return &certificatePair{settings.TLSConfig{TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}}
}

// write returns a function that writes a certificate and its key to the files. Its parameters are the results of
// hubtest.NewCertificate.
func (p *certificatePair) write(t *testing.T) func(certificate, key []byte) {
	return func(certificate, key []byte) {
		hubtest.WriteFile(t, p.TLSCert, string(certificate))
		hubtest.WriteFile(t, p.TLSKey, string(key))
	}
}

// serveTLS starts a server that runs until the test ends, and returns its address. The server uses TLS
// unless config is nil. The parameter limit is the timeout of a handshake and of a request header.
func serveTLS(t *testing.T, config *tls.Config, h2c bool, limit time.Duration, log *slog.Logger) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
		ReadHeaderTimeout: limit,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	setProtocols(server, config, h2c)
	var running sync.WaitGroup
	running.Go(func() { require.ErrorIs(t, serveOn(server, l), http.ErrServerClosed) })
	t.Cleanup(func() {
		server.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// handshake connects to an address with TLS. It returns the connection and the error of the handshake.
func handshake(t *testing.T, address string, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { raw.Close() })
	require.NoError(t, raw.SetDeadline(time.Now().Add(hubtest.Patience)))
	config.InsecureSkipVerify = true // the tests check the certificate themselves
	conn := tls.Client(raw, config)
	return conn, conn.Handshake()
}

// serial opens a connection and returns the serial number of the server's certificate.
func serial(t *testing.T, address string) int64 {
	t.Helper()
	conn, err := handshake(t, address, &tls.Config{})
	require.NoError(t, err)
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestTLSCertificateFiles(t *testing.T) {
	t.Parallel()
	cfg := pairIn(t.TempDir())
	write := cfg.write(t)
	year := time.Now().Add(365 * 24 * time.Hour)
	var log hubtest.LogRecorder
	files := reload.New(log.Logger())
	_, err := newTLS(&cfg.TLSConfig, files, log.Logger())
	require.EqualError(t, err, "--tls-cert: "+cfg.TLSCert+", "+cfg.TLSKey+": "+cfg.TLSCert+": no such file or directory")

	write(hubtest.NewCertificate(t, 1, year))
	config, err := newTLS(&cfg.TLSConfig, files, log.Logger())
	require.NoError(t, err)
	hubtest.RunUntilEnd(t, files.Run)
	address := serveTLS(t, config, false, hubtest.Patience, log.Logger())
	old, err := handshake(t, address, &tls.Config{})
	require.NoError(t, err)
	require.EqualValues(t, 1, serial(t, address))

	write(hubtest.NewCertificate(t, 2, year))
	require.Eventually(t, func() bool { return serial(t, address) == 2 }, hubtest.Patience, 10*time.Millisecond)
	_, err = io.WriteString(old, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(old)
	require.NoError(t, err)
	require.Contains(t, string(answer), "200 OK", "existing connections continue after a new certificate was loaded")

	log.Take(t)
	_, other := hubtest.NewCertificate(t, 3, year)
	hubtest.WriteFile(t, cfg.TLSKey, string(other))
	mismatch := "ERROR --tls-cert, --tls-key key.pem tls: private key does not match public key"
	require.Eventually(t, func() bool { return slices.Contains(log.Take(t), mismatch) }, hubtest.Patience, 10*time.Millisecond)
	require.EqualValues(t, 2, serial(t, address))

	write(hubtest.NewCertificate(t, 4, time.Now().Add(-time.Hour)))
	require.Eventually(t, func() bool { return serial(t, address) == 4 }, hubtest.Patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return slices.Contains(log.Take(t), "WARN --tls-cert .") }, hubtest.Patience, 10*time.Millisecond)
}

// TestTLSVersions checks which handshakes succeed, and which protocol is negotiated, for clients that
// offer different TLS versions, protocols and ciphers.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	var log hubtest.LogRecorder
	cfg := pairIn(t.TempDir())
	cfg.write(t)(hubtest.NewCertificate(t, 1, time.Now().Add(time.Hour)))
	config, err := newTLS(&cfg.TLSConfig, reload.New(log.Logger()), log.Logger())
	require.NoError(t, err)
	address := serveTLS(t, config, false, hubtest.Patience, log.Logger())
	for name, row := range map[string]struct {
		client   *tls.Config
		protocol string
		fails    string
	}{
		"TLS 1.3":           {client: &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, protocol: "h2"},
		"TLS 1.2":           {client: &tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, protocol: "h2"},
		"HTTP/1.1":          {client: &tls.Config{NextProtos: []string{"http/1.1"}}, protocol: "http/1.1"},
		"no protocol":       {client: &tls.Config{}},
		"TLS 1.1":           {client: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, fails: "protocol version not supported"},
		"other":             {client: &tls.Config{NextProtos: []string{"spdy/3"}}, fails: "no application protocol"},
		"weak key exchange": {client: &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, fails: "handshake failure"},
	} {
		conn, err := handshake(t, address, row.client)
		if row.fails != "" {
			require.ErrorContains(t, err, row.fails, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, row.protocol, conn.ConnectionState().NegotiatedProtocol, name)
	}
	require.Eventually(t, func() bool { return len(log.Take(t)) > 0 }, hubtest.Patience, time.Millisecond) // the error is logged at debug level
}

// The server closes a connection whose TLS handshake is not complete within the limit.
func TestTLSHandshakeLimit(t *testing.T) {
	t.Parallel()
	var log hubtest.LogRecorder
	cfg := pairIn(t.TempDir())
	cfg.write(t)(hubtest.NewCertificate(t, 1, time.Now().Add(time.Hour)))
	config, err := newTLS(&cfg.TLSConfig, reload.New(log.Logger()), log.Logger())
	require.NoError(t, err)
	const limit = time.Second
	address := serveTLS(t, config, false, limit, log.Logger())
	for _, said := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		begin := time.Now()
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(hubtest.Patience)))
		_, err = io.WriteString(conn, said)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		if !errors.Is(err, syscall.ECONNRESET) { // on a busy machine, the write may happen after the server has closed
			require.Equal(t, io.EOF, err)
		}
		require.GreaterOrEqual(t, time.Since(begin), limit*9/10)
	}
	for _, line := range log.Take(t) {
		require.Equal(t, "DEBUG  .", line)
	}
}

// With h2c, clients can use HTTP/2 without TLS if they begin with the preface of HTTP/2. The server
// announces its limits to them. Other clients use HTTP/1.1.
func TestH2C(t *testing.T) {
	t.Parallel()
	var log hubtest.LogRecorder
	address := serveTLS(t, nil, true, hubtest.Patience, log.Logger())
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(hubtest.Patience)))
	_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // the preface of HTTP/2 and an empty SETTINGS frame
	require.NoError(t, err)
	header := make([]byte, 9) // a frame header, RFC 9113 section 4.1
	_, err = io.ReadFull(conn, header)
	require.NoError(t, err)
	require.EqualValues(t, 4, header[3], "SETTINGS")
	payload := make([]byte, int(header[1])<<8|int(header[2]))
	_, err = io.ReadFull(conn, payload)
	require.NoError(t, err)
	require.Contains(t, string(payload), "\x00\x03\x00\x00\x00\xfa", "MAX_CONCURRENT_STREAMS is 250")
	require.Contains(t, string(payload), "\x00\x05\x00\x00\x40\x00", "MAX_FRAME_SIZE is 16 KiB")

	for _, on := range []bool{true, false} {
		client := &http.Client{Transport: &http.Transport{}}
		response, err := client.Get("http://" + serveTLS(t, nil, on, hubtest.Patience, log.Logger()))
		require.NoError(t, err)
		response.Body.Close()
		client.CloseIdleConnections()
		require.Equal(t, "HTTP/1.1", response.Proto)
	}
}

// With --acme, the server uses a cached certificate and refuses handshakes for host names that are not
// configured. It logs an error of the certificate authority once, even if it occurs repeatedly.
func TestACME(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		http.Error(w, "out of service", http.StatusForbidden)
	}))
	defer authority.Close()
	cfg := &settings.TLSConfig{
		ACME: []string{"hub.example.org", "new.example.org"}, ACMECache: filepath.Join(t.TempDir(), "made", "here"),
		ACMEDirectory: authority.URL,
	}
	var log hubtest.LogRecorder
	config, err := newTLS(cfg, nil, log.Logger())
	require.NoError(t, err)
	certificate, key := hubtest.NewCertificate(t, 7, time.Now().Add(90*24*time.Hour), "hub.example.org")
	hubtest.WriteFile(t, filepath.Join(cfg.ACMECache, "hub.example.org"), string(key)+string(certificate))
	address := serveTLS(t, config, false, hubtest.Patience, log.Logger())

	conn, err := handshake(t, address, &tls.Config{ServerName: "HUB.example.org", NextProtos: []string{"h2"}})
	require.NoError(t, err)
	require.EqualValues(t, 7, conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64())
	for _, name := range []string{"", "other.example.org", "sub.hub.example.org"} {
		_, err := handshake(t, address, &tls.Config{ServerName: name})
		require.Error(t, err, name)
	}
	_, err = handshake(t, address, &tls.Config{ServerName: "hub.example.org", NextProtos: []string{"acme-tls/1"}})
	require.Error(t, err, "no ACME challenge is active")
	require.Empty(t, asked)
	for _, line := range log.Take(t) {
		require.Equal(t, "DEBUG  .", line)
	}
	for range 3 {
		_, err := handshake(t, address, &tls.Config{ServerName: "new.example.org"})
		require.Error(t, err)
	}
	require.Len(t, asked, 1)
	failures := slices.DeleteFunc(log.Take(t), func(line string) bool { return !strings.HasPrefix(line, "ERROR") })
	require.Len(t, failures, 1)
	require.Contains(t, failures[0], "ERROR --acme")
	require.Contains(t, failures[0], "403")
}

// TestInvalidCertificateIsFault checks that CheckCertificate returns a fault for an invalid certificate.
func TestInvalidCertificateIsFault(t *testing.T) {
	t.Parallel()
	good, bad := pairIn(t.TempDir()), pairIn(t.TempDir())
	good.write(t)(hubtest.NewCertificate(t, 1, time.Now().Add(time.Hour)))
	bad.write(t)([]byte("no PEM"), nil)
	require.Empty(t, FileChecker{}.CheckCertificate(&good.TLSConfig))
	faults := FileChecker{}.CheckCertificate(&bad.TLSConfig)
	require.Len(t, faults, 1)
	require.Equal(t, "--tls-cert", faults[0].Setting)
}
