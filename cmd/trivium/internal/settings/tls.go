package settings

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TLSConfig configures TLS on the main listener.
type TLSConfig struct {
	TLSCert       string        `name:"tls-cert" placeholder:"FILE" help:"Serve TLS with the certificate chain in this PEM file, the server's certificate first. Reread when it changes."`
	TLSKey        string        `name:"tls-key" placeholder:"FILE" help:"PEM file with the private key of --tls-cert."`
	ACME          []string      `name:"acme" placeholder:"HOST" help:"Serve TLS with certificates for this host name, obtained by ACME; the CA must reach its port 443. Repeatable."`
	ACMECache     string        `name:"acme-cache" placeholder:"DIR" help:"Directory for certificates obtained by ACME. Default: trivium/acme in the user's cache directory."`
	ACMEEmail     string        `name:"acme-email" placeholder:"ADDRESS" help:"E-mail address for notices of the CA."`
	ACMEDirectory string        `name:"acme-directory" placeholder:"URL" help:"ACME directory URL of the CA. Default: Let's Encrypt."`
	HSTS          time.Duration `name:"hsts" default:"24h" help:"Duration of Strict-Transport-Security: browsers that have connected over TLS use only TLS for this host name and every port of it for this time. Increase it when everything on the host uses TLS; 0 disables the header."`
	H2C           bool          `name:"h2c" help:"Accept HTTP/2 without TLS, for a proxy that uses it."`
}

// maxHSTS is the maximum value of --hsts: two years, the longest duration in common use.
const maxHSTS = 2 * 366 * 24 * time.Hour

// UsesTLS reports whether the main listener uses TLS.
func (c *TLSConfig) UsesTLS() bool { return c.TLSCert != "" || len(c.ACME) > 0 }

// checkTLS returns a fault for each invalid setting of TLSConfig, for each setting that has no effect, and for each
// invalid file.
func (c *TLSConfig) checkTLS(files FileChecker) []Fault {
	var faults []Fault
	switch {
	case c.TLSCert != "" && c.TLSKey == "":
		faults = Faults("tls-cert", "requires --tls-key")
	case c.TLSKey != "" && c.TLSCert == "":
		faults = Faults("tls-key", "requires --tls-cert")
	}
	if c.TLSCert != "" && len(c.ACME) > 0 {
		faults = append(faults, Faults("acme", "cannot be combined with --tls-cert")...)
	}
	for i, host := range c.ACME {
		c.ACME[i] = strings.ToLower(host)
		faults = append(faults, Faults("acme", checkACMEHost(host))...)
	}
	for _, setting := range []struct{ flag, value string }{
		{"acme-cache", c.ACMECache}, {"acme-email", c.ACMEEmail}, {"acme-directory", c.ACMEDirectory},
	} {
		if setting.value != "" && len(c.ACME) == 0 {
			faults = append(faults, Faults(setting.flag, "requires --acme")...)
		}
	}
	if c.ACMECache != "" {
		faults = append(faults, Faults("acme-cache", checkDir(c.ACMECache))...)
	}
	faults = append(faults, Faults("acme-directory", checkDirectory(c.ACMEDirectory))...)
	faults = append(faults, Faults("hsts", Between(c.HSTS, 0, maxHSTS))...)
	if c.H2C && c.UsesTLS() {
		faults = append(faults, Faults("h2c", "cannot be combined with TLS, which always offers HTTP/2")...)
	}
	if len(faults) == 0 && c.TLSCert != "" {
		faults = files.CheckCertificate(c)
	}
	return faults
}

// checkACMEHost returns a description of the fault unless host is a full host name, which has at least two
// labels and is not an IP address. For other names, a certificate authority could not reach the hub.
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
