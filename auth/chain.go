package auth

import (
	"cmp"
	"errors"
)

// Chain makes a Verifier of several. A token is judged by the first that knows it; one that
// answers ErrBadToken does not, and one that cannot judge is passed over for one that can. What a
// token stands for is reviewed by the verifier that said it. Of several refusals, that counts
// which tells most: that the token could not be judged, then why it is not valid.
func Chain(verifiers ...Verifier) Verifier { return chain(verifiers) }

type chain []Verifier

func (c chain) Verify(token string) (*Credential, error) {
	var unjudged, reason error
	for _, v := range c {
		credential, err := v.Verify(token)
		switch {
		case err == nil:
			return from(v, credential), nil
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
		return nil, ErrTokenEnded // it is none of ours
	}
	now, err := source.Recheck(credential)
	if err != nil || now == credential {
		return now, err
	}
	return from(source, now), nil
}

// from notes the source of a credential in a copy: a verifier may give the same one to all.
func from(v Verifier, credential *Credential) *Credential {
	noted := *credential
	noted.source = v
	return &noted
}
