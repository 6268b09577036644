package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/trivium-hub/trivium/auth"
)

// door is who may come in: what requests are judged by, and what of it is read from files that may
// change while it stands.
type accessControl struct {
	token        string // made at start; "" where there are others, or none are asked for
	tickets      *auth.Tickets
	requireToken *auth.Middleware // of the routes that need a token
	tokenless    *auth.Middleware // of those that need none, but are not for foreign pages either
	operator     *auth.Middleware // of the operator's
	jwt          *auth.JWT        // nil: JWTs are not taken
	proxies      *auth.Proxies
}

// newAccessControl reads all that the settings name, by way of the watcher, which rereads it from then on.
// Nothing runs yet. The faults are all there are; then there is no door.
func newAccessControl(cfg *ServeConfig, files *watcher, log *slog.Logger) (*accessControl, []fault) {
	a := new(accessControl)
	config := auth.Config{Limits: cfg.connections(), Tickets: auth.NewTickets()}
	verifier, faults := a.verifier(cfg, files, log)
	config.Verifier = verifier
	var err error
	config.Origins, err = auth.NewOrigins(cfg.Origin, cfg.CORSHeader...)
	faults = append(faults, faulty("origin", errorText(err))...)
	config.Proxies, err = auth.NewProxies(cfg.TrustedProxy...)
	faults = append(faults, faulty("trusted-proxy", errorText(err))...)
	hosts, err := auth.NewHostPolicy(cfg.hostNames()...)
	faults = append(faults, faulty("host", errorText(err))...)
	pages := auth.CrossSiteAllowed
	if cfg.Auth == "none" { // else a page of another site or of a bent name has no token
		config.Hosts = hosts
		config.CrossSite, pages = auth.CrossSiteRefused, auth.CrossSiteNavigation
	}
	if len(faults) > 0 {
		return nil, faults
	}
	a.requireToken, a.proxies, a.tickets = auth.New(config), config.Proxies, config.Tickets
	a.tokenless = auth.New(auth.Config{Hosts: config.Hosts, Origins: config.Origins, Proxies: config.Proxies, CrossSite: pages})
	a.operator = auth.New(auth.Config{Hosts: hosts, CrossSite: auth.CrossSiteRefused})
	return a, nil
}

// verifier gives what judges tokens; nil where everybody may do everything.
func (a *accessControl) verifier(cfg *ServeConfig, files *watcher, log *slog.Logger) (auth.Verifier, []fault) {
	var all []auth.Verifier
	var faults []fault
	if cfg.Tokens != "" {
		tokens := auth.NewTokens(cfg.perToken())
		all = append(all, tokens)
		faults = append(faults, a.read(files, func(contents [][]byte) error {
			return tokens.Load(contents[0])
		}, watchedFile{"--tokens", cfg.Tokens})...)
	}
	if cfg.jwt() {
		jwt, more := a.newJWT(cfg, files, log)
		if faults = append(faults, more...); len(more) == 0 {
			all, a.jwt = append(all, jwt), jwt
		}
	}
	switch {
	case cfg.Auth == "none" || len(faults) > 0:
		return nil, faults
	case len(all) == 0:
		a.token = auth.NewToken()
		return auth.NewStaticToken(a.token, cfg.perToken()), nil
	}
	return auth.Chain(all...), nil
}

// newJWT makes the judge of JWTs. The files of its keys are one unit: they are put in place
// together.
func (a *accessControl) newJWT(cfg *ServeConfig, files *watcher, log *slog.Logger) (*auth.JWT, []fault) {
	var jwt *auth.JWT
	var keyFiles []watchedFile
	for _, f := range []watchedFile{{"--jwt-secret-file", cfg.JWTSecretFile}, {"--jwt-key-file", cfg.JWTKeyFile}} {
		if f.path != "" {
			keyFiles = append(keyFiles, f)
		}
	}
	load := func(contents [][]byte) error {
		var keys auth.Keys
		if cfg.JWTSecretFile != "" {
			keys.Secret, contents = contents[0], contents[1:]
		}
		if cfg.JWTKeyFile != "" {
			keys.Public = contents[0]
		}
		if jwt != nil {
			return jwt.SetKeys(keys)
		}
		var err error
		jwt, err = auth.NewJWT(auth.JWTConfig{
			Keys: keys, JWKSURL: cfg.JWKSURL, AllowHTTP: cfg.JWKSAllowHTTP,
			Issuer: cfg.JWTIssuer, Audience: cfg.JWTAudience, Leeway: cfg.JWTLeeway, Limits: cfg.perToken(), Log: log,
		})
		return err
	}
	var faults []fault
	if len(keyFiles) > 0 {
		faults = a.read(files, load, keyFiles...)
	} else {
		faults = faulty("jwks-url", errorText(load(nil)))
	}
	if cfg.RevokedFile != "" && jwt != nil {
		faults = append(faults, a.read(files, func(contents [][]byte) error {
			return jwt.SetRevoked(contents[0])
		}, watchedFile{"--revoked-file", cfg.RevokedFile})...)
	}
	return jwt, faults
}

// read has the watcher read files, and whoever holds a token be judged again when they change.
func (a *accessControl) read(files *watcher, load func([][]byte) error, named ...watchedFile) []fault {
	err := files.watch(func(contents [][]byte) error {
		if err := load(contents); err != nil {
			return err
		}
		if a.requireToken != nil {
			a.requireToken.Recheck()
		}
		return nil
	}, named...)
	if err == nil {
		return nil
	}
	return splitFaults(err)
}

// unreadable gives the faults that watch found, one a line.
func splitFaults(err error) []fault {
	var faults []fault
	for line := range strings.SplitSeq(err.Error(), "\n") {
		setting, detail, _ := strings.Cut(line, ": ")
		faults = append(faults, fault{setting, detail})
	}
	return faults
}

// run ends what tokens hold whose time has come, and keeps the keys of JWTs fresh, until ctx ends.
func (a *accessControl) run(ctx context.Context) {
	refreshed := make(chan struct{})
	go func() {
		defer close(refreshed)
		if a.jwt != nil {
			a.jwt.Run(ctx)
		}
	}()
	a.requireToken.Run(ctx)
	<-refreshed
}

// errorOf joins faults that were to be found before anything was begun.
func newUsageError(faults []fault) error {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = fmt.Sprintf("%s: %s", f.setting, f.detail)
	}
	return &usageError{lines}
}
