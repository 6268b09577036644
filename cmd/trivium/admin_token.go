package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/trivium-hub/trivium/auth"
)

// minAdminToken is the minimum length of the admin listener's token in bytes.
const minAdminToken = 16

// adminToken verifies the token of the admin listener, which is read from a file and replaced when the file changes.
type adminToken struct{ current atomic.Pointer[auth.Verifier] }

// load sets the token to the content of its file, without the white space at the end.
func (a *adminToken) load(contents [][]byte) error {
	token, err := parseAdminToken(contents[0])
	if err != nil {
		return err
	}
	verifier := auth.NewStaticToken(token, auth.Limits{})
	a.current.Store(&verifier)
	return nil
}

// parseAdminToken returns the token in the content of a file. The error contains no part of it.
func parseAdminToken(content []byte) (string, error) {
	token := string(bytes.TrimRight(content, " \t\n\v\f\r"))
	if len(token) < minAdminToken {
		return "", fmt.Errorf("want a token of at least %d characters, got %d; openssl rand -hex 16 makes one", minAdminToken, len(token))
	}
	if auth.CheckToken(token) != nil {
		return "", errors.New("want a token of letters, digits and -._~ only")
	}
	return token, nil
}

// Verify implements auth.Verifier.
func (a *adminToken) Verify(ctx context.Context, r *http.Request, token string) (*auth.Credential, error) {
	return (*a.current.Load()).Verify(ctx, r, token)
}

// Recheck implements auth.Verifier.
func (a *adminToken) Recheck(c *auth.Credential) (*auth.Credential, error) {
	return (*a.current.Load()).Recheck(c)
}

// AdminAccess tells commands how to reach the admin listener of a hub.
type AdminAccess struct {
	AdminURL       string `name:"admin-url" default:"http://127.0.0.1:3002" env:"TRIVIUM_ADMIN_URL" help:"The hub's admin listener (its --admin), http or https."`
	AdminTokenFile string `name:"admin-token-file" env:"TRIVIUM_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"File with the token of the admin listener, if the hub has --admin-token-file."`
}

// authorize adds the token to a request to the admin listener.
func (c *AdminAccess) authorize(r *http.Request) error {
	if c.AdminTokenFile == "" {
		return nil
	}
	content, err := readSecret(c.AdminTokenFile)
	if err != nil {
		return fmt.Errorf("--admin-token-file: %w", err)
	}
	token, err := parseAdminToken(content)
	if err != nil {
		return fmt.Errorf("--admin-token-file: %s: %w", c.AdminTokenFile, err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}
