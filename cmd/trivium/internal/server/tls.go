package server

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/reload"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// newTLS returns the TLS configuration of the main listener, or nil if TLS is off. If the certificate is in files, the
// watcher loads it again when the files change.
func newTLS(cfg *settings.TLSConfig, files *reload.Watcher, log *slog.Logger) (*tls.Config, error) {
	switch {
	case !cfg.UsesTLS():
		return nil, nil
	case len(cfg.ACME) > 0:
		return newACME(cfg, log)
	}
	var current atomic.Pointer[tls.Certificate]
	err := files.Watch(func(contents [][]byte) error {
		certificate, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return err
		}
		warnOfDates(&certificate, log)
		current.Store(&certificate)
		return nil
	}, settings.File{Flag: "--tls-cert", Path: cfg.TLSCert}, settings.File{Flag: "--tls-key", Path: cfg.TLSKey})
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
	}, nil
}

// warnOfDates logs a warning if a certificate has expired or is not valid yet. The hub uses the
// certificate nevertheless, because it may have no other.
func warnOfDates(c *tls.Certificate, log *slog.Logger) {
	switch now := time.Now(); {
	case now.After(c.Leaf.NotAfter):
		log.Warn("the certificate has expired", "flag", "--tls-cert", "not_after", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.Leaf.NotBefore):
		log.Warn("the certificate is not valid yet", "flag", "--tls-cert", "not_before", c.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
}

// These are the limits of an HTTP/2 connection. In addition, http.Server.MaxHeaderBytes limits
// headers, ReadHeaderTimeout limits the handshake, and net/http limits the rate of stream resets.
const (
	maxStreams      = 250
	maxFrame        = 16 << 10  // bytes; a connection has a buffer as large as the largest frame that it has received
	maxUnreadBodies = 256 << 10 // bytes of bodies that have arrived and that handlers have not read yet
)

// setProtocols sets the protocols of a server: HTTP/1.1, HTTP/2 over TLS if config is not nil, and HTTP/2 without TLS
// if h2c is set.
func setProtocols(server *http.Server, config *tls.Config, h2c bool) {
	server.TLSConfig = config
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(config != nil)
	server.Protocols.SetUnencryptedHTTP2(h2c)
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReadFrameSize:              maxFrame,
		MaxReceiveBufferPerConnection: maxUnreadBodies,
		MaxReceiveBufferPerStream:     maxUnreadBodies,
	}
}

// serveOn serves on a listener, over TLS if setProtocols was called with a TLS configuration.
func serveOn(server *http.Server, l net.Listener) error {
	if server.TLSConfig == nil {
		return server.Serve(l)
	}
	return server.ServeTLS(l, "", "")
}
