package auth

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// stub is a Verifier that accepts one token and returns err for every other token.
type stub struct {
	token string
	err   error
}

func (s *stub) Verify(_ context.Context, _ *http.Request, token string) (*Credential, error) {
	if s.token != token {
		return nil, s.err
	}
	return &Credential{Grant: everything(token)}, nil
}

func (s *stub) Recheck(c *Credential) (*Credential, error) {
	if s.token == "" {
		return nil, ErrTokenEnded
	}
	return &Credential{Grant: everything("reviewed " + c.Grant.Subject)}, nil
}

func TestChain(t *testing.T) {
	other := errors.New("unavailable")
	reason, second := badToken("reason"), badToken("second reason")
	for _, tt := range []struct {
		errs []error
		want error
	}{
		{nil, ErrBadToken},
		{[]error{ErrBadToken, ErrBadToken}, ErrBadToken},
		{[]error{ErrBadToken, reason, second, ErrBadToken}, reason},
		{[]error{reason, other, second}, other},
		{[]error{ErrUnavailable, reason}, ErrUnavailable},
		{[]error{ErrBadToken, ErrTokenEnded, reason}, ErrTokenEnded},
		{[]error{ErrUnavailable, ErrTokenNotYet}, ErrTokenNotYet},
		{[]error{reason, ErrTokenEnded}, ErrTokenEnded},
	} {
		var verifiers []Verifier
		for _, err := range tt.errs {
			verifiers = append(verifiers, &stub{token: "good", err: err})
		}
		_, err := Chain(verifiers...).Verify(t.Context(), nil, "bad")
		require.Equal(t, tt.want, err, "%v", tt.errs)
	}

	first, last := &stub{token: "first", err: ErrBadToken}, &stub{token: "last", err: ErrBadToken}
	c := Chain(first, &stub{token: "unavailable", err: ErrUnavailable}, last, NewStaticToken("static", Limits{}))
	for _, token := range []string{"first", "last"} {
		got, err := c.Verify(t.Context(), nil, token)
		require.NoError(t, err)
		require.Equal(t, token, got.Grant.Subject)
		for range 2 {
			got, err = c.Recheck(got)
			require.NoError(t, err)
		}
		require.Equal(t, "reviewed reviewed "+token, got.Grant.Subject)
	}
	got, err := c.Verify(t.Context(), nil, "last")
	require.NoError(t, err)
	last.token = ""
	_, err = c.Recheck(got)
	require.Equal(t, ErrTokenEnded, err, "the verifier that issued the credential rechecks it")
	_, err = c.Recheck(&Credential{})
	require.Equal(t, ErrTokenEnded, err, "a credential of another chain is refused")
}

// A token looks like a JWT if it has three parts separated by dots. A tokens file may contain such
// tokens. If it does not contain one of them, the JWT verifier checks that token. A token that does
// not look like a JWT is valid only if the file contains it.
func TestChainOfFileAndJWT(t *testing.T) {
	vectors := readVectors(t)
	j := vectors.verifier(t, JWTConfig{})
	tokens := NewTokens(Limits{})
	c := Chain(tokens, j)
	good := vectors.token(t, "id and no subject")

	got, err := c.Verify(t.Context(), nil, good)
	require.NoError(t, err)
	require.Equal(t, "jwt:jti:id-1", got.Grant.Subject)
	same, err := c.Recheck(got)
	require.NoError(t, err)
	require.Same(t, got, same, "an unchanged credential is returned as it is")
	require.NoError(t, j.SetRevoked([]byte("id-1")))
	_, err = c.Recheck(got)
	require.Equal(t, ErrTokenEnded, err)

	require.NoError(t, tokens.Load([]byte("- {name: dotted, sha256: "+hashOf(good)+"}")))
	got, err = c.Verify(t.Context(), nil, good)
	require.NoError(t, err)
	require.Equal(t, "dotted", got.Grant.Subject)

	_, err = c.Verify(t.Context(), nil, "opaque")
	require.Equal(t, ErrBadToken, err)
	_, err = c.Verify(t.Context(), nil, "a.b")
	require.Equal(t, ErrBadToken, err)
	_, err = c.Verify(t.Context(), nil, vectors.token(t, "no end"))
	require.EqualError(t, err, "the token is not valid: it has no expiry time (exp)")
	j.remote.everFetched = false
	_, err = c.Verify(t.Context(), nil, "opaque")
	require.Equal(t, ErrBadToken, err, "a token that is not a JWT is refused even if the keys are unavailable")
	_, err = c.Verify(t.Context(), nil, vectors.token(t, "key set, no kid"))
	require.ErrorIs(t, err, ErrUnavailable)
}
