package auth

import (
	"cmp"
	"context"
	"errors"
	"net/http"
)

// Chain returns a Verifier that asks several. The first one that knows a token decides. A verifier
// that returns ErrBadToken does not know it, and one that is unavailable is skipped. A credential
// is rechecked by the verifier that issued it. Of several errors the most informative is returned:
// first that the token could not be verified, then why it is invalid.
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
		return nil, ErrTokenEnded // not from this chain
	}
	now, err := source.Recheck(credential)
	if err != nil || now == credential {
		return now, err
	}
	return withSource(source, now), nil
}

// withSource returns a copy of a credential with its source, since a verifier may return a shared
// one.
func withSource(v Verifier, credential *Credential) *Credential {
	noted := *credential
	noted.source = v
	return &noted
}
