package server

import (
	"cmp"
	"crypto/tls"
	"maps"
	"sync"
	"time"
)

// certificateExpiry knows when the certificates of the main listener expire, for the metrics.
type certificateExpiry struct {
	current func() *tls.Certificate // returns the certificate of --tls-cert; nil with --acme

	mu   sync.Mutex
	used map[string]time.Time // NotAfter of the certificates that handshakes used, by host; with --acme
}

// observeCertificates makes a TLS configuration report its certificates. With --acme, a certificate is known once a
// handshake has used it. It returns nil if config is nil.
func observeCertificates(config *tls.Config, acme bool) *certificateExpiry {
	if config == nil {
		return nil
	}
	get := config.GetCertificate
	e := &certificateExpiry{used: make(map[string]time.Time)}
	if !acme {
		e.current = func() *tls.Certificate {
			certificate, _ := get(nil) // of a file: depends on no handshake and never fails
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

// byHost returns when each certificate expires, by its first name.
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
