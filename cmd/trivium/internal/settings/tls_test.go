package settings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// checkedFiles is a FileChecker that returns a fault if the path of the certificate equals the field invalid.
type checkedFiles struct{ invalid string }

func (checkedFiles) CheckAccess(*ServeConfig) []Fault { return nil }

func (f checkedFiles) CheckCertificate(c *TLSConfig) []Fault {
	if c.TLSCert == f.invalid {
		return Faults("tls-cert", "cannot be used")
	}
	return nil
}

func TestTLSConfig(t *testing.T) {
	t.Parallel()
	good, bad := TLSConfig{TLSCert: "good", TLSKey: "k"}, TLSConfig{TLSCert: "bad", TLSKey: "k"}
	for name, row := range map[string]struct {
		settings TLSConfig
		faults   []string
	}{
		"none":              {},
		"files":             {settings: good},
		"acme":              {settings: TLSConfig{ACME: []string{"Hub.Example.org", "b.example.org"}, ACMEEmail: "a@b", ACMECache: "d", ACMEDirectory: "https://ca.test/dir"}},
		"h2c":               {settings: TLSConfig{H2C: true}},
		"invalid files":     {settings: bad, faults: []string{"--tls-cert"}},
		"certificate only":  {settings: TLSConfig{TLSCert: "c"}, faults: []string{"--tls-cert"}},
		"key only":          {settings: TLSConfig{TLSKey: "k"}, faults: []string{"--tls-key"}},
		"both":              {settings: TLSConfig{TLSCert: "c", TLSKey: "k", ACME: []string{"a.test"}}, faults: []string{"--acme"}},
		"h2c over TLS":      {settings: TLSConfig{TLSCert: "c", TLSKey: "k", H2C: true}, faults: []string{"--h2c"}},
		"acme options only": {settings: TLSConfig{ACMEEmail: "a@b", ACMECache: "d", ACMEDirectory: "https://ca.test"}, faults: []string{"--acme-cache", "--acme-email", "--acme-directory"}},
		"directory":         {settings: TLSConfig{ACME: []string{"a.test"}, ACMEDirectory: "http://ca.test"}, faults: []string{"--acme-directory"}},
	} {
		var faults []string
		for _, f := range row.settings.checkTLS(checkedFiles{bad.TLSCert}) {
			faults = append(faults, f.Setting)
		}
		require.Equal(t, row.faults, faults, name)
	}
	for _, host := range []string{"", "localhost", "10.0.0.1", "::1", "*.example.org", "example.org:443", "example.org.", "https://a.test", "a..b"} {
		require.Len(t, (&TLSConfig{ACME: []string{host}}).checkTLS(nil), 1, host)
	}
}
