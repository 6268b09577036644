package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TLSConfig says how the main listener is encrypted.
type TLSConfig struct {
	TLSCert       string        `name:"tls-cert" placeholder:"FILE" help:"Serve TLS with the certificate chain in this PEM file, its own first. Reread when it changes."`
	TLSKey        string        `name:"tls-key" placeholder:"FILE" help:"PEM file with the key of --tls-cert."`
	ACME          []string      `name:"acme" placeholder:"HOST" help:"Serve TLS with certificates for this host name, had by ACME; the CA connects to port 443 of it. Repeatable."`
	ACMECache     string        `name:"acme-cache" placeholder:"DIR" help:"Directory in which certificates had by ACME are kept. Default: trivium/acme in the user's cache directory."`
	ACMEEmail     string        `name:"acme-email" placeholder:"ADDRESS" help:"Address that the CA may write to."`
	ACMEDirectory string        `name:"acme-directory" placeholder:"URL" help:"Directory of the CA. Default: Let's Encrypt."`
	HSTS          time.Duration `name:"hsts" default:"24h" help:"For how long browsers use TLS alone for the host name, on every port of it, once they have been here over TLS (Strict-Transport-Security). Raise it when nothing on the host is served without TLS; 0 sends none."`
	H2C           bool          `name:"h2c" help:"Take HTTP/2 without TLS, from a proxy that speaks it."`
}

// maxHSTS is the longest that is in use.
const maxHSTS = 2 * 366 * 24 * time.Hour

// tls reports that the main listener speaks TLS.
func (c *TLSConfig) tls() bool { return c.TLSCert != "" || len(c.ACME) > 0 }

// checkTLS refuses what would not do what it seems to, and reads the files that are named.
func (c *TLSConfig) checkTLS() []fault {
	var faults []fault
	switch {
	case c.TLSCert != "" && c.TLSKey == "":
		faults = faulty("tls-cert", "want --tls-key beside it")
	case c.TLSKey != "" && c.TLSCert == "":
		faults = faulty("tls-key", "want --tls-cert beside it")
	}
	if c.TLSCert != "" && len(c.ACME) > 0 {
		faults = append(faults, faulty("acme", "want it or --tls-cert, got both")...)
	}
	for i, host := range c.ACME {
		c.ACME[i] = strings.ToLower(host)
		faults = append(faults, faulty("acme", checkACMEHost(host))...)
	}
	for _, setting := range []struct{ flag, value string }{
		{"acme-cache", c.ACMECache}, {"acme-email", c.ACMEEmail}, {"acme-directory", c.ACMEDirectory},
	} {
		if setting.value != "" && len(c.ACME) == 0 {
			faults = append(faults, faulty(setting.flag, "means nothing without --acme")...)
		}
	}
	if c.ACMECache != "" {
		faults = append(faults, faulty("acme-cache", checkDir(c.ACMECache))...)
	}
	faults = append(faults, faulty("acme-directory", checkDirectory(c.ACMEDirectory))...)
	faults = append(faults, faulty("hsts", between(c.HSTS, 0, maxHSTS))...)
	if c.H2C && c.tls() {
		faults = append(faults, faulty("h2c", "want it without TLS only, over which HTTP/2 is spoken in any case")...)
	}
	if len(faults) == 0 && c.TLSCert != "" {
		log := slog.New(slog.DiscardHandler)
		if _, err := newTLS(c, newWatcher(log), log); err != nil {
			faults = unreadable(err)
		}
	}
	return faults
}

// checkACMEHost takes a name that an authority can reach: of two parts at least, and no address.
func checkACMEHost(host string) string {
	_, err := netip.ParseAddr(host)
	parts := strings.Split(host, ".")
	if err == nil || checkHost(host) != "" || len(parts) < 2 || slices.Contains(parts, "") {
		return fmt.Sprintf("want a full host name such as hub.example.org, got %q", host)
	}
	return ""
}

func checkDirectory(text string) string {
	if text == "" {
		return ""
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Sprintf("want an https URL such as https://acme.example.org/directory, got %q", text)
	}
	return ""
}
