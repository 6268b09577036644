package hubs

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// TestAdminToken checks that the admin listener requires the token in the file of --admin-token-file,
// whatever the Host header is, and that the listener accepts a new token after the file has changed.
// It also checks that the command erase sends the token.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "admin-token")
	write := func(text string) { hubtest.ReplaceFile(t, file, text) }
	const first, second = "first-token-of-operators", "second-token-of-operators"
	write(first + "\n")
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--admin-token-file", file)...))
	status := func(token, host, site string) int {
		r, err := http.NewRequest(http.MethodGet, "http://"+p.Admin+"/metrics", nil)
		require.NoError(t, err)
		r.Host = host
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		response, err := p.Client.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		return response.StatusCode
	}
	require.Equal(t, http.StatusOK, status(first, "", ""))
	require.Equal(t, http.StatusOK, status(first, "trivium.monitoring:3002", ""))
	require.Equal(t, http.StatusUnauthorized, status("", "", ""))
	require.Equal(t, http.StatusUnauthorized, status("", "trivium.monitoring:3002", ""))
	require.Equal(t, http.StatusUnauthorized, status(p.Token, "", ""), "the admin listener refuses the token of the main listener")
	require.Equal(t, http.StatusForbidden, status(first, "", "cross-site"))

	erase := []string{"erase", "--admin-url", "http://" + p.Admin, "1f0c9a77-42"}
	require.Contains(t, hubtest.Transcript(t, hubtest.Program(t, nil, erase...)), "Token missing")
	require.NotContains(t, hubtest.Transcript(t, hubtest.Program(t, []string{"TRIVIUM_ADMIN_TOKEN_FILE=" + file}, erase...)), "Token missing")

	write("short")
	require.Eventually(t, func() bool { return strings.Contains(p.Log(), "want a token of at least 16 characters, got 5") }, hubtest.Patience, 20*time.Millisecond)
	require.Equal(t, http.StatusOK, status(first, "", ""), "the previous token stays in use")
	write(second)
	require.Eventually(t, func() bool { return status(second, "", "") == http.StatusOK }, hubtest.Patience, 20*time.Millisecond)
	require.Equal(t, http.StatusUnauthorized, status(first, "", ""))
	require.NotContains(t, p.Log(), second)
}

// TestAdminRefusesUnknownHost checks that an admin listener without a token refuses requests for
// unknown host names.
func TestAdminRefusesUnknownHost(t *testing.T) {
	t.Parallel()
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--host", "trivium")...))
	for host, want := range map[string]int{"trivium:3002": http.StatusOK, "trivium.monitoring:3002": http.StatusMisdirectedRequest} {
		r, err := http.NewRequest(http.MethodGet, "http://"+p.Admin+"/metrics", nil)
		require.NoError(t, err)
		r.Host = host
		response, err := p.Client.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, want, response.StatusCode, host)
	}
}
