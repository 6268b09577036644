package main

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
)

const (
	acmeTimeout  = 30 * time.Second // of one request to the authority
	acmeLogEvery = time.Minute      // for one host, as each of its clients finds that it has no certificate
)

// newACME makes a configuration whose certificates an authority issues, each when its host is
// first asked for, and again before it ends.
func newACME(cfg *TLSConfig, log *slog.Logger) (*tls.Config, error) {
	dir := cfg.ACMECache
	if dir == "" {
		caches, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("--acme-cache: want a directory, as the user has none of their own: %w", err)
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
		proof := slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) // is asked for, or somebody pretends
		if failure := failures[host]; err != nil && failure != nil && !proof { // other names are the client's fault
			failure.Do(func() {
				log.Error("there is no certificate", "flag", "--acme", "host", host, "error", err.Error())
			})
		}
		return certificate, err
	}
	return config, nil
}

// acmeCache says what autocert keeps to itself.
type acmeCache struct {
	autocert.Cache
	log *slog.Logger
}

// Put implements autocert.Cache. The names of what is no certificate have a + and more in them.
func (c acmeCache) Put(ctx context.Context, name string, data []byte) error {
	err := c.Cache.Put(ctx, name, data)
	host, kind, _ := strings.Cut(name, "+")
	switch {
	case err != nil:
		c.log.Error("a certificate or its account cannot be kept", "flag", "--acme-cache", "name", name, "error", err.Error())
	case kind == "" || kind == "rsa":
		c.log.Info("the authority has issued a certificate", "flag", "--acme", "host", host)
	}
	return err
}
