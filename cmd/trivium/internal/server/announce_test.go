package server

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// Announce prints the generated token only if its parameter show is set.
func TestAnnouncementShowsToken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	s := &Server{cfg: &settings.ServeConfig{Auth: "token"}, access: &accessControl{token: "canary"}, public: listener}
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		s.Announce(&out, terminal)
		require.Equal(t, terminal, strings.Contains(out.String(), "canary"))
		require.Equal(t, !terminal, strings.Contains(out.String(), "=TOKEN"))
	}
}

// The printed command for publishing contains the topic "events" if the token may publish to it, and otherwise the
// placeholder TOPIC.
func TestAnnouncementNamesTopic(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for _, row := range []struct {
		auth, generated, topic string
	}{
		{"none", "", "events"},
		{"token", "canary", "events"},
		{"token", "", "TOPIC"},
		{"jwt", "", "TOPIC"},
	} {
		s := &Server{cfg: &settings.ServeConfig{Auth: row.auth}, access: &accessControl{token: row.generated}, public: listener}
		var out bytes.Buffer
		s.Announce(&out, true)
		require.Contains(t, out.String(), "/publish/"+row.topic+"\n")
	}
}
