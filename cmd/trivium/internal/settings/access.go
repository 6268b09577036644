package settings

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/trivium-hub/trivium/auth"
)

// maxLeeway is the maximum of --jwt-leeway.
const maxLeeway = time.Hour

// AccessConfig configures authentication, allowed origins and trusted proxies.
type AccessConfig struct {
	Tokens        string        `placeholder:"FILE" help:"YAML file of tokens: name, sha256, subscribe, publish, expires, limits. Reread when it changes; trivium token adds one."`
	Token         string        `placeholder:"TOKEN" help:"Fixed token with all rights, for development. It replaces the token that the hub generates at start if neither --tokens nor JWTs are configured. Prefer the variable TRIVIUM_TOKEN, which pub and sub also read: on some systems other users can see the command line (ps)."`
	PrintToken    bool          `help:"Print the token that is generated at start if neither --tokens nor JWTs are configured, even if standard error is not a terminal. A journal then contains the token."`
	JWTSecretFile string        `name:"jwt-secret-file" placeholder:"FILE" help:"Accept JWTs signed with HS256 and the secret in this file, at least 32 bytes. Reread when it changes."`
	JWTKeyFile    string        `name:"jwt-key-file" placeholder:"FILE" help:"Accept JWTs signed with RS256, ES256 or EdDSA and one of the public keys or certificates in this PEM file. Reread when it changes."`
	JWKSURL       string        `name:"jwks-url" placeholder:"URL" help:"Accept JWTs signed with RS256, ES256 or EdDSA and the keys at this URL (https, or http on loopback)."`
	JWKSAllowHTTP bool          `name:"jwks-allow-http" help:"Allow --jwks-url to use http with another machine. Then everyone on the network path can forge tokens."`
	JWTIssuer     string        `name:"jwt-issuer" placeholder:"ISS" help:"Required issuer (iss) of JWTs. Set it with --jwks-url; otherwise tokens of every issuer with these keys are accepted."`
	JWTAudience   string        `name:"jwt-audience" placeholder:"AUD" help:"Required audience (aud) of JWTs. Set it with --jwks-url; otherwise tokens for other services are accepted too."`
	JWTLeeway     time.Duration `name:"jwt-leeway" default:"60s" help:"Maximum time by which the nbf of a JWT may be in the future, to allow for clock differences. It does not apply to exp."`
	RevokedFile   string        `placeholder:"FILE" help:"File of revoked JWTs, one entry per line: an ID (jti), sub:NAME (all JWTs of that subject) or sub:NAME before:2026-11-28T12:00:00Z (all JWTs of that subject issued before that time). Reread when it changes."`

	Origin       []string `placeholder:"ORIGIN" help:"Origin whose pages may send requests to the hub: https://app.example.com, https://*.example.com, http://localhost:5173, https://app.example.com:*. * allows every origin, and null allows pages without an origin (files, sandboxed frames), both without cookies. Repeatable. Default: the hub's own origin only."`
	CORSHeader   []string `name:"cors-header" placeholder:"NAME" help:"Request header that pages of --origin may send, in addition to the headers that the hub reads and those of tracing libraries. Repeatable."`
	TrustedProxy []string `placeholder:"CIDR" help:"Address or network of a proxy whose X-Forwarded-For and X-Forwarded-Proto are trusted; the proxy must pass Host unchanged. Do not trust every address (0.0.0.0/0): any client could then forge its address. Repeatable."`
}

// tokenIgnored is the description of the fault that --token is set although the hub does not use it.
const tokenIgnored = "has no effect with --auth none, --tokens or JWTs"

// Scheme is a configured authentication scheme, which is a way to issue and verify tokens.
type Scheme struct {
	Verifier auth.Verifier
	Run      func(context.Context) // runs while the hub serves; nil: the scheme needs no goroutine
}

// schemes are the authentication schemes, in the order in which a hub tries their verifiers.
var schemes = []struct {
	configured func(*AccessConfig) bool
	open       func(*ServeConfig, schemeOptions) (Scheme, []Fault)
}{
	{(*AccessConfig).acceptsListed, (*ServeConfig).openTokens},
	{(*AccessConfig).acceptsJWT, (*ServeConfig).openJWT},
}

// schemeOptions holds the parameters, other than settings, with which a scheme is opened.
type schemeOptions struct {
	load LoadFiles
	log  *slog.Logger
	only bool // no other scheme is configured
}

// acceptsListed reports whether the hub accepts the tokens that are listed in a tokens file.
func (c *AccessConfig) acceptsListed() bool { return c.Tokens != "" }

// acceptsJWT reports whether the hub accepts JWTs.
func (c *AccessConfig) acceptsJWT() bool {
	return c.JWTSecretFile != "" || c.JWTKeyFile != "" || c.JWKSURL != ""
}

// schemeCount returns the number of configured authentication schemes.
func (c *AccessConfig) schemeCount() (n int) {
	for _, scheme := range schemes {
		if scheme.configured(c) {
			n++
		}
	}
	return n
}

// OpenSchemes loads the files of the configured authentication schemes. It returns the schemes, and the faults in their
// files.
func (c *ServeConfig) OpenSchemes(load LoadFiles, log *slog.Logger) (opened []Scheme, faults []Fault) {
	options := schemeOptions{load: load, log: log, only: c.schemeCount() == 1}
	for _, scheme := range schemes {
		if scheme.configured(&c.AccessConfig) {
			one, found := scheme.open(c, options)
			opened, faults = append(opened, one), append(faults, found...)
		}
	}
	return opened, faults
}

func (c *ServeConfig) openTokens(options schemeOptions) (Scheme, []Fault) {
	tokens := auth.NewTokens(c.PerToken())
	if options.only {
		tokens.SetOnlyTokenDefaults(c.OfOnlyToken())
	}
	return Scheme{Verifier: tokens}, options.load(func(contents [][]byte) error {
		return tokens.Load(contents[0])
	}, File{"--tokens", c.Tokens})
}

// openJWT opens the scheme for JWTs. It loads both key files together, so that the verifier never uses the new content of
// one file with the old content of the other.
func (c *ServeConfig) openJWT(options schemeOptions) (Scheme, []Fault) {
	var jwt *auth.JWT
	setKeys := func(contents [][]byte) error {
		var keys auth.Keys
		if c.JWTSecretFile != "" {
			keys.Secret, contents = contents[0], contents[1:]
		}
		if c.JWTKeyFile != "" {
			keys.Public = contents[0]
		}
		if jwt != nil {
			return jwt.SetKeys(keys)
		}
		var err error
		jwt, err = auth.NewJWT(auth.JWTConfig{
			Keys: keys, JWKSURL: c.JWKSURL, AllowHTTP: c.JWKSAllowHTTP,
			Issuer: c.JWTIssuer, Audience: c.JWTAudience, Leeway: c.JWTLeeway, Limits: c.PerToken(), Log: options.log,
		})
		return err
	}
	keyFiles := []File{{"--jwt-secret-file", c.JWTSecretFile}, {"--jwt-key-file", c.JWTKeyFile}}
	keyFiles = slices.DeleteFunc(keyFiles, func(f File) bool { return f.Path == "" })
	var faults []Fault
	if len(keyFiles) > 0 {
		faults = options.load(setKeys, keyFiles...)
	} else {
		faults = Faults("jwks-url", ErrorText(setKeys(nil)))
	}
	if len(faults) > 0 {
		return Scheme{}, faults
	}
	if c.RevokedFile != "" {
		faults = options.load(func(contents [][]byte) error {
			return jwt.SetRevoked(contents[0])
		}, File{"--revoked-file", c.RevokedFile})
	}
	return Scheme{Verifier: jwt, Run: jwt.Run}, faults
}

// checkAccess returns a fault for each invalid setting of AccessConfig, for each setting that has no effect, and for each
// invalid file.
func (c *ServeConfig) checkAccess(files FileChecker) []Fault {
	var faults []Fault
	for _, setting := range []struct {
		flag, value string
	}{
		{"tokens", c.Tokens}, {"jwt-secret-file", c.JWTSecretFile}, {"jwt-key-file", c.JWTKeyFile}, {"jwks-url", c.JWKSURL},
	} {
		if setting.value != "" && c.Auth == "none" {
			faults = append(faults, Faults(setting.flag, "has no effect with --auth none")...)
		}
	}
	if c.Token != "" && (c.Auth == "none" || c.schemeCount() > 0) {
		faults = append(faults, Fault{Setting: "--token", Detail: tokenIgnored})
	} else if c.Token != "" {
		faults = append(faults, Faults("token", ErrorText(auth.CheckToken(c.Token)))...)
	}
	for _, setting := range []struct {
		flag, value string
	}{
		{"jwt-issuer", c.JWTIssuer}, {"jwt-audience", c.JWTAudience}, {"revoked-file", c.RevokedFile},
	} {
		if setting.value != "" && !c.acceptsJWT() {
			faults = append(faults, Faults(setting.flag, "requires --jwt-secret-file, --jwt-key-file or --jwks-url")...)
		}
	}
	faults = append(faults, Faults("jwt-leeway", Between(c.JWTLeeway, 0, maxLeeway))...)
	faults = append(faults, Faults("cors-header", ErrorText(auth.CheckRequestHeaders(c.CORSHeader)))...)
	if len(c.CORSHeader) > 0 && len(c.Origin) == 0 {
		faults = append(faults, Faults("cors-header", "requires --origin")...)
	}
	if c.JWKSAllowHTTP && c.JWKSURL == "" {
		faults = append(faults, Faults("jwks-allow-http", "requires --jwks-url")...)
	}
	if c.JWKSURL != "" {
		_, err := auth.NewJWT(auth.JWTConfig{JWKSURL: c.JWKSURL, AllowHTTP: c.JWKSAllowHTTP})
		text := ErrorText(err)
		if errors.Is(err, auth.ErrPlainHTTP) {
			text += "; --jwks-allow-http allows other hosts"
		}
		faults = append(faults, Faults("jwks-url", text)...)
	}
	if len(faults) == 0 && len(c.checkListeners()) == 0 {
		faults = files.CheckAccess(c)
	}
	return faults
}
