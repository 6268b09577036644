package main

import (
	"log/slog"
	"time"

	"github.com/trivium-hub/trivium/auth"
)

// maxLeeway bounds --jwt-leeway: clocks that are further apart are broken.
const maxLeeway = time.Hour

// AccessConfig says who may come in: by what tokens, from which pages and behind which proxies.
type AccessConfig struct {
	Tokens        string        `placeholder:"FILE" help:"YAML file of tokens: name, sha256, subscribe, publish, expires, limits. Reread when it changes; trivium token adds one."`
	PrintToken    bool          `help:"Print the token that is made at start, where neither --tokens nor JWTs are set, even if standard error is no terminal. A journal keeps it."`
	JWTSecretFile string        `name:"jwt-secret-file" placeholder:"FILE" help:"Take JWTs signed by HS256 with the secret in this file, of 32 bytes at least. Reread when it changes."`
	JWTKeyFile    string        `name:"jwt-key-file" placeholder:"FILE" help:"Take JWTs signed by RS256, ES256 or EdDSA with one of the public keys or certificates in this PEM file. Reread when it changes."`
	JWKSURL       string        `name:"jwks-url" placeholder:"URL" help:"Take JWTs signed by RS256, ES256 or EdDSA with the keys at this URL (https, or http on loopback)."`
	JWKSAllowHTTP bool          `name:"jwks-allow-http" help:"Let --jwks-url be http on another machine: whoever is in between can then make tokens."`
	JWTIssuer     string        `name:"jwt-issuer" placeholder:"ISS" help:"The iss that a JWT must have. Set it with --jwks-url, or a token of any issuer with these keys is taken."`
	JWTAudience   string        `name:"jwt-audience" placeholder:"AUD" help:"The aud that a JWT must be for. Set it with --jwks-url, or a token for another service is taken too."`
	JWTLeeway     time.Duration `name:"jwt-leeway" default:"60s" help:"How far ahead of this machine's clock the nbf of a JWT may be, since clocks differ. exp gets no leeway."`
	RevokedFile   string        `placeholder:"FILE" help:"File of revoked JWTs, a line each: ID (jti), sub:NAME (all of that subject) or sub:NAME before:2026-11-28T12:00:00Z (those issued before). Reread when it changes."`

	Origin       []string `placeholder:"ORIGIN" help:"Pages of this origin may connect: https://app.example.com, https://*.example.com, http://localhost:5173, https://app.example.com:*; * for any, without cookies; null for pages without an origin of their own (files, sandboxed frames), without cookies. Repeatable; without it the hub's own origin only."`
	CORSHeader   []string `name:"cors-header" placeholder:"NAME" help:"Request header that pages of --origin may set, beside those that the hub reads and those of tracing libraries. Repeatable."`
	TrustedProxy []string `placeholder:"CIDR" help:"Believe X-Forwarded-For and X-Forwarded-Proto of this address or network; the proxy must keep the Host. Not of every address (0.0.0.0/0): whoever connects could name any client. Repeatable."`
}

// jwt reports whether JWTs are taken at all.
func (c *AccessConfig) jwt() bool {
	return c.JWTSecretFile != "" || c.JWTKeyFile != "" || c.JWKSURL != ""
}

// checkAccess refuses what would not do what it seems to, and reads the files that are named.
func (c *ServeConfig) checkAccess() []fault {
	var faults []fault
	for _, setting := range []struct {
		flag, value string
	}{
		{"tokens", c.Tokens}, {"jwt-secret-file", c.JWTSecretFile}, {"jwt-key-file", c.JWTKeyFile}, {"jwks-url", c.JWKSURL},
	} {
		if setting.value != "" && c.Auth == "none" {
			faults = append(faults, faulty(setting.flag, "means nothing beside --auth none, by which everybody may do everything")...)
		}
	}
	for _, setting := range []struct {
		flag, value string
	}{
		{"jwt-issuer", c.JWTIssuer}, {"jwt-audience", c.JWTAudience}, {"revoked-file", c.RevokedFile},
	} {
		if setting.value != "" && !c.jwt() {
			faults = append(faults, faulty(setting.flag, "means nothing without --jwt-secret-file, --jwt-key-file or --jwks-url")...)
		}
	}
	faults = append(faults, faulty("jwt-leeway", between(c.JWTLeeway, 0, maxLeeway))...)
	faults = append(faults, faulty("cors-header", said(auth.CheckRequestHeaders(c.CORSHeader)))...)
	if len(c.CORSHeader) > 0 && len(c.Origin) == 0 {
		faults = append(faults, faulty("cors-header", "means nothing without --origin")...)
	}
	if c.JWKSAllowHTTP && c.JWKSURL == "" {
		faults = append(faults, faulty("jwks-allow-http", "means nothing without --jwks-url")...)
	}
	if c.JWKSURL != "" {
		_, err := auth.NewJWT(auth.JWTConfig{JWKSURL: c.JWKSURL, AllowHTTP: c.JWKSAllowHTTP})
		faults = append(faults, faulty("jwks-url", said(err))...)
	}
	if len(faults) == 0 && len(c.checkListeners()) == 0 {
		log := slog.New(slog.DiscardHandler)
		_, faults = newDoor(c, newWatcher(log), log)
	}
	return faults
}
