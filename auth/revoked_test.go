package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each line of a file of revoked tokens contains an ID, a subject, or a subject and a time.
func TestRevokedSubjects(t *testing.T) {
	j := readVectors(t).verifier(t, JWTConfig{})
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	var never time.Time
	for _, c := range []struct {
		file, id, subject string
		issued            time.Time
		revoked           bool
	}{
		{"sub:alice", "x", "alice", noon, true},
		{"sub:alice", "x", "alice", never, true},
		{"sub:alice", "x", "alic", noon, false},
		{"sub:alice", "x", "Alice", noon, false},
		{"sub:alice", "x", "", noon, false},
		{"sub:alice", "alice", "bob", noon, false},
		{"sub:alice", "sub:alice", "bob", noon, true}, // a jti that begins with "sub:", as in files for older versions
		{"alice", "x", "alice", noon, false},
		{"Sub:alice", "x", "alice", noon, false},
		{"\ufeff# comment\n\n\tsub:alice \r\nid-1\n", "id-1", "", never, true},
		{"\ufeff# comment\n\n\tsub:alice \r\nid-1\n", "", "alice", never, true},
		{"sub:alice before:2026-11-28T12:00:00Z", "", "alice", noon.Add(-time.Nanosecond), true},
		{"sub:alice before:2026-11-28T12:00:00Z", "", "alice", noon, false},
		{"sub:alice before:2026-11-28T12:00:00Z", "", "alice", never, true},
		{"sub:alice before:2026-11-28T12:00:00Z", "", "bob", never, false},
		{"sub:alice \t before:2026-11-28T13:00:00.5+01:00 ", "", "alice", noon.Add(499 * time.Millisecond), true},
		{"sub:alice before:2026-11-28T13:00:00.5+01:00", "", "alice", noon.Add(500 * time.Millisecond), false},
		{"sub:alice before:2026-11-27T12:00:00Z\nsub:alice before:2026-11-28T12:00:00Z", "", "alice", noon.Add(-1), true},
		{"sub:alice before:2026-11-28T12:00:00Z\nsub:alice before:2026-11-27T12:00:00Z", "", "alice", noon.Add(-1), true},
		{"sub:alice\nsub:alice before:2026-11-28T12:00:00Z", "", "alice", noon, true},
		{"sub:alice before:2026-11-28T12:00:00Z\nsub:alice", "", "alice", noon, true},
		{`sub:"alice b \"before:\u00e9"`, "", `alice b "before:` + "\u00e9", noon, true},
		{`sub:"alice" before:2026-11-28T12:00:00Z`, "", "alice", noon, false},
		{`sub:auth0|5f7c8ec7c33c6c004bbafe82`, "", "auth0|5f7c8ec7c33c6c004bbafe82", noon, true},
		{`sub:https://a.example/b?c=d#e`, "", "https://a.example/b?c=d#e", noon, true},
	} {
		require.NoError(t, j.SetRevoked([]byte(c.file)), c.file)
		require.Equal(t, c.revoked, j.isRevoked(c.id, c.subject, c.issued), "%q %q %q %v", c.file, c.id, c.subject, c.issued)
	}
}

// Errors contain the number of the invalid line. After an error, the revoked tokens are unchanged.
func TestRevokedFileFaults(t *testing.T) {
	const (
		after   = "want a time such as before:2026-11-28T12:00:00Z after the subject, or nothing; put a subject with spaces in double quotes"
		subject = "want, after sub:, a subject of 1 to 256 bytes without control characters"
		quotes  = "want a subject in double quotes as a JSON string, with the closing quote"
	)
	j := readVectors(t).verifier(t, JWTConfig{})
	require.NoError(t, j.SetRevoked([]byte("id-1\nsub:alice")))
	for file, want := range map[string]string{
		"# a\nsub:":                             "line 2: " + subject,
		"sub: alice":                            "line 1: " + subject,
		`sub:""`:                                "line 1: " + subject,
		`sub:"a\u0000"`:                         "line 1: " + subject,
		"sub:" + strings.Repeat("a", 257):       "line 1: " + subject,
		"sub:alice bob":                         "line 1: " + after,
		"sub:alice befor:2026-11-28T12:00:00Z":  "line 1: " + after,
		"sub:alice before:":                     "line 1: " + after,
		"sub:alice before:2026-11-28":           "line 1: " + after,
		"sub:alice before: 2026-11-28T12:00:00": "line 1: " + after,
		`sub:"alice`:                            "line 1: " + quotes,
		`sub:"ali"ce`:                           "line 1: " + after,
		"sub:\nid\nsub:a b":                     "line 1: " + subject + "\nline 3: " + after,
		strings.Repeat("sub:\n", 30):            "",
		"":                                      "want revoked tokens, but the file is empty; if no token is revoked, write a line that begins with #",
	} {
		err := j.SetRevoked([]byte(file))
		require.Error(t, err, file)
		if want != "" {
			require.EqualError(t, err, want, file)
		} else {
			require.Equal(t, maxRevokedFaults, strings.Count(err.Error(), subject))
			require.True(t, strings.HasSuffix(err.Error(), "\nthere may be more errors"))
		}
		require.True(t, j.isRevoked("id-1", "", time.Time{}))
		require.True(t, j.isRevoked("", "alice", time.Now()))
	}
}

// If a subject is revoked, Verify and Recheck both refuse its tokens.
func TestRevokedSubjectIsRechecked(t *testing.T) {
	vectors := readVectors(t)
	j := vectors.verifier(t, JWTConfig{})
	secret, err := NewSecretKey([]byte(vectors.Secret))
	require.NoError(t, err)
	token, err := secret.Mint("", Claims{Subject: "alice", Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	c, err := j.Verify(t.Context(), nil, token)
	require.NoError(t, err)
	_, err = j.Recheck(c)
	require.NoError(t, err)
	for line, revoked := range map[string]bool{
		"sub:alice before:" + c.Issued.UTC().Format(time.RFC3339):                  false,
		"sub:alice before:" + c.Issued.Add(time.Second).UTC().Format(time.RFC3339): true,
		"sub:alice": true,
		"sub:bob":   false,
	} {
		require.NoError(t, j.SetRevoked([]byte(line)))
		_, verified := j.Verify(t.Context(), nil, token)
		_, reviewed := j.Recheck(c)
		if revoked {
			require.ErrorIs(t, verified, ErrTokenEnded, line)
			require.ErrorIs(t, reviewed, ErrTokenEnded, line)
		} else {
			require.NoError(t, verified, line)
			require.NoError(t, reviewed, line)
		}
	}
}
