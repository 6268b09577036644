package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

func TestWithoutSecrets(t *testing.T) {
	require.Equal(t,
		[]string{"trivium", "--nats-url=nats://***@a:4222,tls://b,nats://***@c", "nats://a:4222", "https://x/y?***", "a@b?c", "ws://***@a/?***"},
		settings.WithoutSecrets([]string{"trivium", "--nats-url=nats://u:p@ss@a:4222,tls://b,nats://token@c", "nats://a:4222", "https://x/y?key=secret", "a@b?c", "ws://u:p@a/?q"}))
}

// If a URL on the command line contains a secret, the hub logs a warning that recommends a place where
// other users of the machine cannot see the secret. The pprof page with the command line does not
// contain the secret.
func TestWarnsOfSecretOnCommandLine(t *testing.T) {
	const secret = "hunter2"
	jwks := "https://127.0.0.1:1/jwks.json?key=" + secret
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--jwks-url", jwks, "--jwt-issuer", "i", "--jwt-audience", "a")...))
	require.Contains(t, p.Log(), `"flag":"--jwks-url","reason":"contained a password or a query on the command line, which every user of this machine could see until the program hid it; set TRIVIUM_JWKS_URL or the file of --config instead"`)
	status, text := p.Request(http.MethodGet, "http://"+p.Admin+"/debug/pprof/cmdline", "", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "/jwks.json?***\x00")
	require.NotContains(t, text, secret)
	quiet := hubtest.Start(t, hubtest.Program(t, []string{"TRIVIUM_JWKS_URL=" + jwks}, append(hubtest.AnyPorts, "--jwt-issuer", "i", "--jwt-audience", "a")...))
	require.NotContains(t, quiet.Log(), "command line")
}
