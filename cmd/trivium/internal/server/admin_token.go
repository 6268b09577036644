package server

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// adminToken verifies the token of the admin listener. The token is the content of a file, and changes with the file.
type adminToken struct{ current atomic.Pointer[auth.Verifier] }

// load sets the token to the content of the file without the white space at its end. It returns an error if this is not
// a valid token.
func (a *adminToken) load(contents [][]byte) error {
	token, err := settings.ParseAdminToken(contents[0])
	if err != nil {
		return err
	}
	verifier := auth.NewStaticToken(token, auth.Limits{})
	a.current.Store(&verifier)
	return nil
}

// Verify implements auth.Verifier.
func (a *adminToken) Verify(ctx context.Context, r *http.Request, token string) (*auth.Credential, error) {
	return (*a.current.Load()).Verify(ctx, r, token)
}

// Recheck implements auth.Verifier.
func (a *adminToken) Recheck(c *auth.Credential) (*auth.Credential, error) {
	return (*a.current.Load()).Recheck(c)
}
