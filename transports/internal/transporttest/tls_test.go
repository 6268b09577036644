package transporttest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client that uses HTTP/2 cannot upgrade to WebSocket. The error must not contain connection-specific
// headers, because HTTP/2 clients discard an answer that contains them (RFC 9113, section 8.2.2).
func TestSocketOverHTTP2(t *testing.T) {
	s := Start(t, Config{TLS: true})
	c := &http2Carrier{server: s}
	defer c.cut()
	response, err := c.get("/ws", Request{})
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
	require.Empty(t, response.Header.Values("Upgrade"))
	require.Empty(t, response.Header.Values("Connection"))
}
