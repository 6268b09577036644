package server

import (
	"cmp"
	"context"
	"log/slog"
	"strings"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/reload"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// accessControl holds the middleware for each kind of route, and the keys and tokens that it checks.
// It reloads keys and tokens when their files change.
type accessControl struct {
	token        string // generated at start; "" if tokens are configured or --auth is none
	tickets      *auth.Tickets
	requireToken *auth.Middleware // middleware of the routes that require a token
	tokenless    *auth.Middleware // middleware of the routes that require no token, but check Host and Origin
	operator     *auth.Middleware // middleware of the admin listener
	adminToken   *adminToken      // token of the admin listener; nil: none is required
	jwt          *auth.JWT        // nil: JWTs are not accepted
	proxies      *auth.Proxies
}

// newAccessControl returns the access control of the settings, or all faults in the settings. The watcher reads the
// files of the settings now, and rereads them when they change. No goroutine runs until run is called.
func newAccessControl(cfg *settings.ServeConfig, files *reload.Watcher, log *slog.Logger) (*accessControl, []settings.Fault) {
	a := new(accessControl)
	config := auth.Config{Limits: cfg.Connections(), Tickets: auth.NewTickets(), Log: log}
	verifier, faults := a.verifier(cfg, files, log)
	config.Verifier = verifier
	if cfg.AdminTokenFile != "" {
		a.adminToken = new(adminToken)
		faults = append(faults, a.read(files, a.adminToken.load, reload.File{Flag: "--admin-token-file", Path: cfg.AdminTokenFile})...)
	}
	var err error
	config.Origins, err = auth.NewOrigins(cfg.Origin, cfg.CORSHeader...)
	faults = append(faults, settings.Faults("origin", settings.ErrorText(err))...)
	config.Proxies, err = auth.NewProxies(cfg.TrustedProxy...)
	faults = append(faults, settings.Faults("trusted-proxy", settings.ErrorText(err))...)
	hosts, err := auth.NewHostPolicy(cfg.HostNames()...)
	faults = append(faults, settings.Faults("host", settings.ErrorText(err))...)
	pages := auth.CrossSiteAllowed
	if cfg.Auth == "none" { // in the other modes, tokens protect against cross-site requests and DNS rebinding
		config.Hosts = hosts
		config.CrossSite, pages = auth.CrossSiteRefused, auth.CrossSiteNavigation
	}
	if len(faults) > 0 {
		return nil, faults
	}
	a.requireToken, a.proxies, a.tickets = auth.New(config), config.Proxies, config.Tickets
	a.tokenless = auth.New(auth.Config{Hosts: config.Hosts, Origins: config.Origins, Proxies: config.Proxies, CrossSite: pages})
	a.operator = auth.New(a.operatorConfig(hosts))
	return a, nil
}

// operatorConfig returns the configuration for the admin listener. If a token is required, a page
// that uses DNS rebinding cannot read anything. The listener then accepts any host name, because
// Prometheus uses the name of a service, for example.
func (a *accessControl) operatorConfig(hosts *auth.HostPolicy) auth.Config {
	if a.adminToken != nil {
		return auth.Config{Verifier: a.adminToken, CrossSite: auth.CrossSiteRefused}
	}
	return auth.Config{Hosts: hosts, CrossSite: auth.CrossSiteRefused}
}

// verifier returns the verifier for all configured kinds of token, or nil with --auth none. If no
// tokens are configured, it generates one.
func (a *accessControl) verifier(cfg *settings.ServeConfig, files *reload.Watcher, log *slog.Logger) (auth.Verifier, []settings.Fault) {
	var all []auth.Verifier
	var faults []settings.Fault
	if cfg.Tokens != "" {
		tokens := auth.NewTokens(cfg.PerToken())
		if !cfg.AcceptsJWT() {
			tokens.SetOnlyTokenDefaults(cfg.OfOnlyToken())
		}
		all = append(all, tokens)
		faults = append(faults, a.read(files, func(contents [][]byte) error {
			return tokens.Load(contents[0])
		}, reload.File{Flag: "--tokens", Path: cfg.Tokens})...)
	}
	if cfg.AcceptsJWT() {
		jwt, more := a.newJWT(cfg, files, log)
		if faults = append(faults, more...); len(more) == 0 {
			all, a.jwt = append(all, jwt), jwt
		}
	}
	switch {
	case cfg.Auth == "none" || len(faults) > 0:
		return nil, faults
	case len(all) == 0:
		a.token = cmp.Or(cfg.Token, auth.NewToken())
		return auth.NewStaticToken(a.token, cfg.OfOnlyToken()), nil
	}
	return auth.Chain(all...), nil
}

// newJWT returns the verifier of JWTs. The watcher loads both key files as one unit, so that the verifier never
// has a new key of one file with an old key of the other.
func (a *accessControl) newJWT(cfg *settings.ServeConfig, files *reload.Watcher, log *slog.Logger) (*auth.JWT, []settings.Fault) {
	var jwt *auth.JWT
	var keyFiles []reload.File
	for _, f := range []reload.File{{Flag: "--jwt-secret-file", Path: cfg.JWTSecretFile}, {Flag: "--jwt-key-file", Path: cfg.JWTKeyFile}} {
		if f.Path != "" {
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
			Issuer: cfg.JWTIssuer, Audience: cfg.JWTAudience, Leeway: cfg.JWTLeeway, Limits: cfg.PerToken(), Log: log,
		})
		return err
	}
	var faults []settings.Fault
	if len(keyFiles) > 0 {
		faults = a.read(files, load, keyFiles...)
	} else {
		faults = settings.Faults("jwks-url", settings.ErrorText(load(nil)))
	}
	if cfg.RevokedFile != "" && jwt != nil {
		faults = append(faults, a.read(files, func(contents [][]byte) error {
			return jwt.SetRevoked(contents[0])
		}, reload.File{Flag: "--revoked-file", Path: cfg.RevokedFile})...)
	}
	return jwt, faults
}

// read registers files with the watcher, which calls load with their contents now and after each
// change. After each change, the middleware checks all tokens in use again.
func (a *accessControl) read(files *reload.Watcher, load func([][]byte) error, named ...reload.File) []settings.Fault {
	err := files.Watch(func(contents [][]byte) error {
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

// FileChecker implements settings.FileChecker: it loads the files as a server does at its start.
type FileChecker struct{}

// CheckAccess implements settings.FileChecker.
func (FileChecker) CheckAccess(c *settings.ServeConfig) []settings.Fault {
	log := slog.New(slog.DiscardHandler)
	_, faults := newAccessControl(c, reload.New(log), log)
	return faults
}

// CheckCertificate implements settings.FileChecker.
func (FileChecker) CheckCertificate(c *settings.TLSConfig) []settings.Fault {
	log := slog.New(slog.DiscardHandler)
	if _, err := newTLS(c, reload.New(log), log); err != nil {
		return splitFaults(err)
	}
	return nil
}

// splitFaults returns one fault for each line of an error of watcher.watch.
func splitFaults(err error) []settings.Fault {
	var faults []settings.Fault
	for line := range strings.SplitSeq(err.Error(), "\n") {
		setting, detail, _ := strings.Cut(line, ": ")
		faults = append(faults, settings.Fault{Setting: setting, Detail: detail})
	}
	return faults
}

// run closes the connections of tokens that expire and refreshes the JWT keys of --jwks-url, until ctx ends.
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
