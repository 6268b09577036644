package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// TestCAFile checks that pub and sub accept the certificate of a hub if --ca-file names the authority
// that has issued it, over each transport, and that they refuse the certificate without --ca-file.
func TestCAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificateFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate, key := hubtest.NewCertificate(t, 1, time.Now().Add(24*time.Hour), "127.0.0.1", "localhost")
	hubtest.WriteFile(t, certificateFile, string(certificate))
	hubtest.WriteFile(t, keyFile, string(key))
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--tls-cert", certificateFile, "--tls-key", keyFile)...))
	_, port, _ := bytes.Cut([]byte(p.HTTP), []byte(":"))
	env := []string{"TRIVIUM_TOKEN=" + p.Token, "TRIVIUM_URL=https://localhost:" + string(port)}
	require.Contains(t, hubtest.Transcript(t, hubtest.Program(t, env, "pub", "--timeout", "3m", "a", "1")), "certificate")
	trusting := append(env, "TRIVIUM_CA_FILE="+certificateFile)
	require.Regexp(t, `^[0-9a-f]{8}-1$`, hubtest.Transcript(t, hubtest.Program(t, trusting, "pub", "--timeout", "3m", "a", "1")))
	for _, transport := range []string{"websocket", "sse", "longpoll"} {
		require.Contains(t, hubtest.Transcript(t, hubtest.Program(t, trusting, "sub", "--transport", transport, "--last", "1", "--count", "1", "a")), "1", transport)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	require.Contains(t, hubtest.Transcript(t, hubtest.Program(t, env, "pub", "a", "1", "--ca-file", empty)), "--ca-file: want PEM certificates, "+empty+" contains none")
}
