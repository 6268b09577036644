package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
	"github.com/trivium-hub/trivium/hub"
)

// checkCheck checks the combination of --check with the other flags, and returns the faults.
func (c *TokenCmd) checkCheck() (faults []settings.Fault) {
	if c.Tokens == "" && c.JWTSecretFile == "" && c.JWTKeyFile == "" {
		faults = append(faults, settings.Fault{Setting: "--check", Detail: "requires the hub's --tokens, --jwt-secret-file or --jwt-key-file"})
	}
	for _, setting := range []struct {
		flag string
		set  bool
	}{
		{"jwt-private-key-file", c.JWTPrivateKeyFile != ""}, {"subscribe", len(c.Subscribe) > 0}, {"publish", len(c.Publish) > 0},
		{"expires", c.Expires != ""}, {"kid", c.KID != ""}, {"id", c.ID != ""},
	} {
		if setting.set {
			faults = append(faults, settings.Faults(setting.flag, "has no effect with --check")...)
		}
	}
	return faults
}

// runCheck prints the rights of a token. If a hub would refuse the token, the returned error is the reason.
func (c *TokenCmd) runCheck(con *console) error {
	token := strings.TrimSpace(c.Check)
	if token == "-" {
		line, err := bufio.NewReader(con.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		token = strings.TrimSpace(line)
	}
	if err := auth.CheckToken(token); err != nil {
		return err
	}
	verifier, err := c.verifier()
	if err != nil {
		return err
	}
	credential, err := verifier.Verify(context.Background(), nil, token)
	if err != nil {
		return c.explain(token, err)
	}
	expires := "never"
	if !credential.Expires.IsZero() {
		left := time.Until(credential.Expires).Round(time.Second)
		expires = fmt.Sprintf("%s (in %v)", credential.Expires.UTC().Format(time.RFC3339), left)
	}
	_, err = fmt.Fprintf(con.Out, "the token is valid\nsubject:   %s\nsubscribe: %s\npublish:   %s\nexpires:   %s\n",
		terminal.Harmless(credential.Grant.Subject), listFilters(credential.Grant.Subscribe), listFilters(credential.Grant.Publish), expires)
	return err
}

// verifier returns a verifier that accepts the same tokens as a hub with the same files.
func (c *TokenCmd) verifier() (auth.Verifier, error) {
	var all []auth.Verifier
	if c.Tokens != "" {
		tokens := auth.NewTokens(auth.Limits{})
		text, err := settings.ReadBounded(c.Tokens, maxTokenFile)
		if err == nil {
			err = tokens.Load(text)
		}
		if err != nil {
			return nil, inFile(c.Tokens, err)
		}
		all = append(all, tokens)
	}
	var keys auth.Keys
	var err error
	if c.JWTSecretFile != "" {
		if keys.Secret, err = os.ReadFile(c.JWTSecretFile); err != nil {
			return nil, err
		}
	}
	if c.JWTKeyFile != "" {
		if keys.Public, err = os.ReadFile(c.JWTKeyFile); err != nil {
			return nil, err
		}
	}
	if c.JWTSecretFile != "" || c.JWTKeyFile != "" {
		jwt, err := auth.NewJWT(auth.JWTConfig{Keys: keys, Issuer: c.Issuer, Audience: c.Audience})
		if err != nil {
			return nil, err
		}
		all = append(all, jwt)
	}
	return auth.Chain(all...), nil
}

// explain adds the unverified claims of a JWT to the reason for a refusal.
func (c *TokenCmd) explain(token string, reason error) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		if c.Tokens == "" {
			return fmt.Errorf("%w: it is not a JWT; check it with --tokens", reason)
		}
		return fmt.Errorf("%w: %s has no entry for it", reason, c.Tokens)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return reason
	}
	hint := ""
	if c.JWTSecretFile == "" && c.JWTKeyFile == "" {
		hint = "it is a JWT; check it with --jwt-secret-file or --jwt-key-file; "
	}
	return fmt.Errorf("%w: %sit claims %s", reason, hint, claims) // run escapes what could control a terminal
}

// listFilters returns the filters of a set in one line.
func listFilters(set hub.FilterSet) string {
	var texts []string
	for _, f := range set.Filters() {
		texts = append(texts, f.String())
	}
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, " ")
}
