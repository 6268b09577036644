package server

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/reload"
)

// TestCertificateExpiry checks that byHost returns the expiry of a certificate from the start, and the
// expiry of the new certificate after the files have changed.
func TestCertificateExpiry(t *testing.T) {
	t.Parallel()
	cfg := pairIn(t.TempDir())
	write := cfg.write(t)
	var log hubtest.LogRecorder
	files := reload.New(log.Logger())
	year := time.Now().Add(365 * 24 * time.Hour).Truncate(time.Second).UTC()
	write(hubtest.NewCertificate(t, 1, year, "hub.example"))
	config, err := newTLS(&cfg.TLSConfig, files, log.Logger())
	require.NoError(t, err)
	expiry := observeCertificates(config, false)
	require.Equal(t, map[string]time.Time{"hub.example": year}, expiry.byHost())
	hubtest.RunUntilEnd(t, files.Run)
	write(hubtest.NewCertificate(t, 2, year.Add(time.Hour), "hub.example"))
	require.Eventually(t, func() bool { return expiry.byHost()["hub.example"].Equal(year.Add(time.Hour)) }, hubtest.Patience, 10*time.Millisecond)
	require.Empty(t, observeCertificates(nil, false).byHost())
}

// TestACMECertificateExpiry checks that, with --acme, byHost returns the expiry of a certificate after
// the first handshake that uses it.
func TestACMECertificateExpiry(t *testing.T) {
	t.Parallel()
	year := time.Now().Add(365 * 24 * time.Hour).Truncate(time.Second).UTC()
	certificate, err := tls.X509KeyPair(hubtest.NewCertificate(t, 1, year, "hub.example"))
	require.NoError(t, err)
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }}
	expiry := observeCertificates(config, true)
	require.Empty(t, expiry.byHost())
	_, err = config.GetCertificate(&tls.ClientHelloInfo{})
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{"hub.example": year}, expiry.byHost())
}
