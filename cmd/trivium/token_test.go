package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
)

// runToken runs the command token in this process.
func runToken(args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"token"}, args...), &console{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// TestTokenFile checks that a hub with the tokens file accepts the printed token, that the file does not contain the
// token, and that errors leave the file unchanged.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, path := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "link.yaml")
	const comment = "# The tokens of this hub.\n"
	verify := func(out, name string) *auth.Credential {
		t.Helper()
		require.Regexp(t, `^[A-Z2-7]{26}\n$`, out)
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NotContains(t, string(file), strings.TrimSpace(out))
		tokens := auth.NewTokens(auth.Limits{})
		require.NoError(t, tokens.Load(file))
		c, err := tokens.Verify(t.Context(), nil, strings.TrimSpace(out))
		require.NoError(t, err)
		require.Equal(t, name, c.Grant.Subject)
		return c
	}
	mode := func(want os.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm())
		names, err := filepath.Glob(filepath.Join(dir, "*.lock"))
		require.NoError(t, err)
		require.Empty(t, names)
	}

	code, out, errs := runToken("alice", "--tokens", real, "--subscribe", "orders.>", "--subscribe", "a,b", "--publish", ">")
	require.Equal(t, []any{0, ""}, []any{code, errs})
	require.NoError(t, os.Symlink("real.yaml", path))
	alice := out
	c := verify(out, "alice")
	require.True(t, c.Expires.IsZero())
	require.True(t, c.Grant.Subscribe.Match("a,b") && c.Grant.MayPublish("x") && !c.Grant.Subscribe.Match("x"))
	mode(0o600)

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append([]byte(comment), file...), 0))
	require.NoError(t, os.Chmod(path, 0o640))
	code, out, errs = runToken("bob", "--tokens", path, "--expires", "24h")
	require.Equal(t, []any{0, ""}, []any{code, errs})
	c = verify(out, "bob")
	require.WithinDuration(t, time.Now().Add(24*time.Hour), c.Expires, time.Minute)
	verify(alice, "alice")
	mode(0o640)
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink, "the symbolic link is kept")

	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(before), comment))
	refused := func(want string, args ...string) {
		t.Helper()
		code, out, errs := runToken(args...)
		require.Equal(t, []any{1, "", "trivium: " + strings.ReplaceAll(want, "DIR", dir) + "\n"}, []any{code, out, errs})
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
	}
	refused(`DIR/real.yaml: entry 2 has the name "bob" already`, "bob", "--tokens", path)
	refused("DIR/real.yaml: name: want 1 to 128 bytes of printable characters", "a\nb", "--tokens", path)
	refused("open DIR/none/t.yaml.lock: no such file or directory", "x", "--tokens", filepath.Join(dir, "none", "t.yaml"))
	mode(0o640)
	require.NoError(t, os.WriteFile(real+".lock", nil, 0o600))
	refused("DIR/real.yaml.lock exists, so another command may be changing the tokens file; if none is running, remove DIR/real.yaml.lock",
		"carol", "--tokens", path)
	broken := filepath.Join(dir, "broken.yaml")
	require.NoError(t, os.WriteFile(broken, []byte("- name: x\n"), 0o600))
	refused("DIR/broken.yaml: line 1: entry 1 (x): sha256 is missing", "y", "--tokens", broken)

	// The command cannot create a lock file for this path, because the name would be too long. Therefore
	// it appends to the tokens file instead of replacing it.
	path = filepath.Join(dir, strings.Repeat("l", 253))
	require.NoError(t, os.WriteFile(path, []byte(comment+"# No tokens yet."), 0o644))
	for _, name := range []string{"carol", "dave"} {
		code, out, errs = runToken(name, "--tokens", path)
		require.Equal(t, []any{0, ""}, []any{code, errs})
		verify(out, name)
	}
	before = []byte("tokens: []")
	require.NoError(t, os.WriteFile(path, before, 0o644))
	refused("open "+path+".lock: file name too long", "erin", "--tokens", path)
}

// TestTokenJWT checks that a hub with the matching key accepts the printed JWT.
func TestTokenJWT(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	encode := func(kind string, der []byte, err error) []byte {
		t.Helper()
		require.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	var public []byte
	private := func(name string, k crypto.Signer, kind string, marshal func() ([]byte, error)) []string {
		t.Helper()
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		public = append(public, encode("PUBLIC KEY", der, err)...)
		der, err = marshal()
		return []string{"--jwt-private-key-file", write(name, encode(kind, der, err))}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	secret := []byte(strings.Repeat("s3cr3t. ", 5) + "\n")
	destinations := [][]string{
		{"--jwt-secret-file", write("secret", secret)},
		private("rsa", rsaKey, "RSA PRIVATE KEY", func() ([]byte, error) { return x509.MarshalPKCS1PrivateKey(rsaKey), nil }),
		private("ec", ecKey, "EC PRIVATE KEY", func() ([]byte, error) { return x509.MarshalECPrivateKey(ecKey) }),
		private("ed", edKey, "PRIVATE KEY", func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(edKey) }),
	}
	j, err := auth.NewJWT(auth.JWTConfig{Keys: auth.Keys{Secret: secret, Public: public}, Issuer: "i", Audience: "a"})
	require.NoError(t, err)
	more := []string{"--issuer", "i", "--audience", "a", "--subscribe", "orders.*", "alice"}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	for _, destination := range destinations {
		code, out, errs := runToken(append(destination, more...)...)
		require.Equal(t, []any{0, ""}, []any{code, errs})
		c, err := j.Verify(t.Context(), nil, strings.TrimSuffix(out, "\n"))
		require.NoError(t, err)
		require.Equal(t, "jwt:sub:alice", c.Grant.Subject)
		require.Regexp(t, uuid, c.ID)
		require.WithinDuration(t, time.Now().Add(time.Hour), c.Expires, time.Minute)
		require.True(t, c.Grant.Subscribe.Match("orders.x") && !c.Grant.MayPublish("orders.x"))

		code, out, errs = runToken(append(destination, append(more, "--id", "7", "--kid", "k", "--expires", "2099-01-01T00:00:00Z")...)...)
		require.Equal(t, []any{0, ""}, []any{code, errs})
		c, err = j.Verify(t.Context(), nil, strings.TrimSuffix(out, "\n"))
		require.NoError(t, err)
		require.Equal(t, "7", c.ID)
		require.Equal(t, 2099, c.Expires.UTC().Year())
	}

	short := write("short", []byte("s3cr3t"))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--jwt-secret-file", short}, short + ": want 32 to 1048576 bytes, not counting white space at the end, got 6"},
		{[]string{"--jwt-private-key-file", short}, short + ": want a private key in PEM, found none"},
		{[]string{"--jwt-private-key-file", short + "er"}, "open " + short + "er: no such file or directory"},
		{append(destinations[0], "--id", "#7"), "a hub would refuse the token: its id (jti) is longer than 256 bytes, has control characters, begins with # or has white space at an end"},
	} {
		code, out, errs := runToken(append(tt.args, "alice")...)
		require.Equal(t, []any{1, "", "trivium: " + tt.want + "\n"}, []any{code, out, errs})
	}
}
