package auth

import (
	"cmp"
	"context"
	"errors"
	"net/http"
)

// Chain returns a Verifier that calls several verifiers in order. If a verifier returns ErrBadToken
// or is unavailable, the next one is called; any other result is final. A credential is rechecked
// by the verifier that issued it. If no verifier accepts the token, Verify returns the first error
// of a verifier that could not check the token. If there is no such error, it returns the first
// reason why the token is invalid.
func Chain(verifiers ...Verifier) Verifier { return chain(verifiers) }

type chain []Verifier

func (c chain) Verify(ctx context.Context, r *http.Request, token string) (*Credential, error) {
	var unjudged, reason error
	for _, v := range c {
		credential, err := v.Verify(ctx, r, token)
		switch {
		case err == nil:
			return withSource(v, credential), nil
		case errors.Is(err, ErrTokenEnded), errors.Is(err, ErrTokenNotYet):
			return nil, err
		case !errors.Is(err, ErrBadToken):
			unjudged = cmp.Or(unjudged, err)
		case errors.Unwrap(err) != nil:
			reason = cmp.Or(reason, err)
		}
	}
	return nil, cmp.Or(unjudged, reason, ErrBadToken)
}

func (c chain) Recheck(credential *Credential) (*Credential, error) {
	source := credential.source
	if source == nil {
		return nil, ErrTokenEnded // another chain or verifier issued the credential
	}
	now, err := source.Recheck(credential)
	if err != nil || now == credential {
		return now, err
	}
	return withSource(source, now), nil
}

// withSource returns a copy of a credential, with the field source set. It does not modify the
// original, because a verifier may return the same credential for several requests.
func withSource(v Verifier, credential *Credential) *Credential {
	noted := *credential
	noted.source = v
	return &noted
}
