package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// CAConfig holds the flags that determine which certificates a client trusts.
type CAConfig struct {
	CAFile string `name:"ca-file" env:"TRIVIUM_CA_FILE" placeholder:"FILE" help:"PEM file of certificate authorities to trust in addition to those of the system, for a hub whose certificate another authority has issued."`

	authorities *x509.CertPool // set by checkCA; nil: the certificate authorities of the system
}

// checkCA reads the file of --ca-file and returns the faults that it finds.
func (c *CAConfig) checkCA() []settings.Fault {
	if c.CAFile == "" {
		return nil
	}
	text, err := settings.ReadBounded(c.CAFile, settings.MaxSecretBytes)
	if err != nil {
		return settings.Faults("ca-file", err.Error())
	}
	authorities, err := x509.SystemCertPool()
	if err != nil {
		authorities = x509.NewCertPool()
	}
	if !authorities.AppendCertsFromPEM(text) {
		return settings.Faults("ca-file", fmt.Sprintf("want PEM certificates, %s contains none", c.CAFile))
	}
	c.authorities = authorities
	return nil
}

// headerTimeout is the maximum time to wait for the header of a response. The hub answers a long poll within a minute.
const headerTimeout = 70 * time.Second

// transport returns an HTTP transport that trusts the certificates of c.authorities.
func (c *CAConfig) transport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = headerTimeout
	if c.authorities != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: c.authorities, MinVersion: tls.VersionTLS12}
	}
	return transport
}
