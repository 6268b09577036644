package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// newTLS makes the configuration of the main listener; nil: it has no TLS. Certificates of files
// are followed by the watcher.
func newTLS(cfg *TLSConfig, files *watcher, log *slog.Logger) (*tls.Config, error) {
	switch {
	case !cfg.tls():
		return nil, nil
	case len(cfg.ACME) > 0:
		return newACME(cfg, log)
	}
	var current atomic.Pointer[tls.Certificate]
	err := files.watch(func(contents [][]byte) error {
		certificate, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return err
		}
		warnOfDates(&certificate, log)
		current.Store(&certificate)
		return nil
	}, watchedFile{"--tls-cert", cfg.TLSCert}, watchedFile{"--tls-key", cfg.TLSKey})
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
	}, nil
}

// warnOfDates says what clients will say. The certificate is taken all the same: it may be all
// there is.
func warnOfDates(c *tls.Certificate, log *slog.Logger) {
	switch now := time.Now(); {
	case now.After(c.Leaf.NotAfter):
		log.Warn("the certificate has expired", "flag", "--tls-cert", "not_after", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.Leaf.NotBefore):
		log.Warn("the certificate is not valid yet", "flag", "--tls-cert", "not_before", c.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
}

// Bounds of a connection of HTTP/2. Its header is bounded by http.Server.MaxHeaderBytes, its
// handshake by ReadHeaderTimeout, and what it resets and how often by net/http.
const (
	maxStreams      = 250
	maxFrame        = 16 << 10  // bytes; a connection keeps a buffer of its largest
	maxUnreadBodies = 256 << 10 // bytes received of bodies that no handler has read
)

// setProtocols has a server speak HTTP/1.1, and HTTP/2 by TLS or, with h2c, without.
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

// serveOn is http.Server.Serve, by TLS where setProtocols was given a configuration.
func serveOn(server *http.Server, l net.Listener) error {
	if server.TLSConfig == nil {
		return server.Serve(l)
	}
	return server.ServeTLS(l, "", "")
}
