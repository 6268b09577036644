package main

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTokenIsPrintedOnTerminalsAlone: a journal does not get the token that is made at start, unless
// that is asked for, and says how to have one.
func TestTokenIsPrintedOnTerminalsAlone(t *testing.T) {
	args := slices.DeleteFunc(slices.Clone(anyPorts), func(arg string) bool { return arg == "--print-token" })
	p := serve(t, program(t, nil, args...))
	require.Equal(t, "TOKEN", p.token)
	require.Contains(t, p.log(), "trivium token NAME --tokens FILE")
	require.Contains(t, p.log(), "--print-token")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	s := &server{cfg: &ServeConfig{Auth: "token"}, access: &accessControl{token: "canary"}, public: listener}
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		s.announce(&out, terminal)
		require.Equal(t, terminal, strings.Contains(out.String(), "canary"))
		require.Equal(t, !terminal, strings.Contains(out.String(), "=TOKEN"))
	}
}
