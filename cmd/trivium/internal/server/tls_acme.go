package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

const (
	acmeTimeout  = 30 * time.Second // timeout of one request to the certificate authority
	acmeLogEvery = time.Minute      // minimum interval between two logged errors of one host; without it, each handshake could log an error
)

// newACME returns a TLS configuration with certificates from an ACME authority. It requests a host's certificate at the
// first handshake for the host, and renews it before it expires.
func newACME(cfg *settings.TLSConfig, log *slog.Logger) (*tls.Config, error) {
	dir := cfg.ACMECache
	if dir == "" {
		caches, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("--acme-cache: required, because the user has no cache directory: %w", err)
		}
		dir = filepath.Join(caches, "trivium", "acme")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--acme-cache: %w", err)
	}
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      acmeCache{autocert.DirCache(dir), log},
		HostPolicy: autocert.HostWhitelist(cfg.ACME...),
		Email:      cfg.ACMEEmail,
		Client: &acme.Client{
			DirectoryURL: cfg.ACMEDirectory,
			HTTPClient:   &http.Client{Timeout: acmeTimeout},
			UserAgent:    "trivium",
		},
	}
	failures := make(map[string]*rate.Sometimes, len(cfg.ACME))
	for _, host := range cfg.ACME {
		failures[host] = &rate.Sometimes{Interval: acmeLogEvery}
	}
	config := manager.TLSConfig()
	config.MinVersion = tls.VersionTLS12
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := manager.GetCertificate(hello)
		host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
		challenge := slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) // as in a handshake from the authority, but any client can send it
		if failure := failures[host]; err != nil && failure != nil && !challenge { // failure is nil for hosts that are not configured
			failure.Do(func() {
				log.Error("no certificate available", "flag", "--acme", "host", host, "error", err.Error())
			})
		}
		return certificate, err
	}
	return config, nil
}

// acmeCache is an autocert.Cache that logs issued certificates and failed writes, because autocert does not report them.
type acmeCache struct {
	autocert.Cache
	log *slog.Logger
}

// Put implements autocert.Cache. The name of an entry with a certificate is the host name, with the suffix +rsa if the
// key is an RSA key. Other entries have other suffixes, which also begin with +.
func (c acmeCache) Put(ctx context.Context, name string, data []byte) error {
	err := c.Cache.Put(ctx, name, data)
	host, kind, _ := strings.Cut(name, "+")
	switch {
	case err != nil:
		c.log.Error("a certificate or the ACME account could not be stored", "flag", "--acme-cache", "name", name, "error", err.Error())
	case kind == "" || kind == "rsa":
		c.log.Info("certificate issued", "flag", "--acme", "host", host)
	}
	return err
}
