package transporttest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSocketOverHTTP2: who chose HTTP/2 cannot upgrade, and is told so without the fields of a
// connection, for which clients have to drop the answer (RFC 9113, section 8.2.2).
func TestSocketOverHTTP2(t *testing.T) {
	s := Start(t, Config{TLS: true})
	c := &multiplexed{server: s}
	defer c.cut()
	response, err := c.get("/ws", Ask{})
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
	require.Empty(t, response.Header.Values("Upgrade"))
	require.Empty(t, response.Header.Values("Connection"))
}
