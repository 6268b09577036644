package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTokenCheck checks the output of token --check for tokens that a hub accepts, and for tokens
// that it refuses.
func TestTokenCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tokens, secret, other := filepath.Join(dir, "tokens.yaml"), filepath.Join(dir, "secret"), filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600))
	require.NoError(t, os.WriteFile(other, []byte(strings.Repeat("o", 32)), 0o600))
	create := func(args ...string) string {
		code, token, errs := runToken(args...)
		require.Zero(t, code, errs)
		return strings.TrimSpace(token)
	}
	opaque := create("alice", "--tokens", tokens, "--subscribe", "orders.>", "--subscribe", "a")
	jwt := create("bob", "--jwt-secret-file", secret, "--publish", ">", "--issuer", "me")
	for _, row := range []struct {
		token string
		files []string
		code  int
		want  string
	}{
		{opaque, []string{"--tokens", tokens}, 0, "the token is valid\nsubject:   alice\nsubscribe: a orders.>\npublish:   nothing\nexpires:   never\n"},
		{jwt, []string{"--tokens", tokens, "--jwt-secret-file", secret}, 0, "bob\nsubscribe: nothing\npublish:   >\n"},
		{"unknown", []string{"--tokens", tokens}, 1, "the token is not valid: " + tokens + " has no entry for it"},
		{opaque, []string{"--jwt-secret-file", secret}, 1, "it is not a JWT; check it with --tokens"},
		{jwt, []string{"--tokens", tokens}, 1, "check it with --jwt-secret-file or --jwt-key-file"},
		{jwt, []string{"--jwt-secret-file", other}, 1, `it claims {"`},
		{jwt, []string{"--jwt-secret-file", secret, "--issuer", "you"}, 1, "its issuer (iss) is not the expected one"},
		{"a b", []string{"--tokens", tokens}, 1, "a token must be 1 to 8192 of the characters"},
		{jwt, nil, 2, "--check: requires the hub's --tokens"},
	} {
		for _, standardInput := range []bool{false, true} {
			argument := row.token
			if standardInput {
				argument = "-"
			}
			var out bytes.Buffer
			code := run(append([]string{"token", "--check", argument}, row.files...), &console{In: strings.NewReader(row.token + "\n"), Out: &out, Err: &out})
			require.Equal(t, row.code, code, out.String())
			require.Contains(t, out.String(), row.want)
		}
	}
}
