package server

import (
	"cmp"
	"crypto/tls"
	"maps"
	"sync"
	"time"
)

// certificateExpiry records when the certificates of the main listener expire, for the metrics.
type certificateExpiry struct {
	current func() *tls.Certificate // returns the current certificate of --tls-cert; nil with --acme

	mu   sync.Mutex
	used map[string]time.Time // with --acme: NotAfter of the certificates that handshakes have used, by host
}

// observeCertificates returns a certificateExpiry for the certificates of a TLS configuration, or nil if
// config is nil. With --acme, it changes the configuration, so that each handshake records the expiry of
// the certificate that it uses.
func observeCertificates(config *tls.Config, acme bool) *certificateExpiry {
	if config == nil {
		return nil
	}
	get := config.GetCertificate
	e := &certificateExpiry{used: make(map[string]time.Time)}
	if !acme {
		e.current = func() *tls.Certificate {
			certificate, _ := get(nil) // a certificate from a file does not depend on the handshake
			return certificate
		}
		return e
	}
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := get(hello)
		if err == nil && certificate.Leaf != nil && len(certificate.Leaf.DNSNames) > 0 {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.used[certificate.Leaf.DNSNames[0]] = certificate.Leaf.NotAfter
		}
		return certificate, err
	}
	return e
}

// byHost returns the expiry of each certificate. The key is the certificate's first host name.
func (e *certificateExpiry) byHost() map[string]time.Time {
	switch {
	case e == nil:
		return nil
	case e.current != nil:
		leaf := e.current().Leaf
		name := leaf.Subject.CommonName
		if len(leaf.DNSNames) > 0 {
			name = leaf.DNSNames[0]
		} else if len(leaf.IPAddresses) > 0 {
			name = cmp.Or(name, leaf.IPAddresses[0].String())
		}
		return map[string]time.Time{name: leaf.NotAfter}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.used)
}
