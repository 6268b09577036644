package server

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/reload"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// accessControl holds the middleware for each kind of route, and the keys and tokens that the
// middleware checks. Keys and tokens are loaded again when their files change.
type accessControl struct {
	// token is the only valid token: the value of --token or a generated token. It is "" if tokens or JWTs are
	// configured, or with --auth none.
	token        string
	tickets      *auth.Tickets
	requireToken *auth.Middleware  // middleware of the routes that require a token
	tokenless    *auth.Middleware  // middleware of the routes that require no token; it checks Host and Origin
	operator     *auth.Middleware  // middleware of the admin listener
	schemes      []settings.Scheme // configured authentication schemes, in the order in which their verifiers are tried
	adminToken   *adminToken       // token of the admin listener; nil: none is required
	proxies      *auth.Proxies
}

// newAccessControl returns the access control for the settings, or all faults in the settings. It reads the files that
// the settings name, and registers them with the watcher, which reads them again when they change. It starts no
// goroutine.
func newAccessControl(cfg *settings.ServeConfig, files *reload.Watcher, log *slog.Logger) (*accessControl, []settings.Fault) {
	a := new(accessControl)
	config := auth.Config{Limits: cfg.Connections(), Tickets: auth.NewTickets(), Log: log}
	load := a.loadFiles(files)
	verifier, faults := a.verifier(cfg, load, log)
	config.Verifier = verifier
	if cfg.AdminTokenFile != "" {
		a.adminToken = new(adminToken)
		faults = append(faults, load(a.adminToken.load, settings.File{Flag: "--admin-token-file", Path: cfg.AdminTokenFile})...)
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

// operatorConfig returns the configuration for the admin listener. If a token is required, the
// listener accepts any host name, for example the name of a service that Prometheus uses: the token
// protects against DNS rebinding, because a page of another site does not have it.
func (a *accessControl) operatorConfig(hosts *auth.HostPolicy) auth.Config {
	if a.adminToken != nil {
		return auth.Config{Verifier: a.adminToken, CrossSite: auth.CrossSiteRefused}
	}
	return auth.Config{Hosts: hosts, CrossSite: auth.CrossSiteRefused}
}

// verifier returns a verifier that tries all configured authentication schemes, or nil with --auth none. If none is
// configured, the verifier accepts the token of --token, or else a generated token.
func (a *accessControl) verifier(cfg *settings.ServeConfig, load settings.LoadFiles, log *slog.Logger) (auth.Verifier, []settings.Fault) {
	schemes, faults := cfg.OpenSchemes(load, log)
	switch {
	case cfg.Auth == "none" || len(faults) > 0:
		return nil, faults
	case len(schemes) == 0:
		a.token = cmp.Or(cfg.Token, auth.NewToken())
		return auth.NewStaticToken(a.token, cfg.OfOnlyToken()), nil
	}
	a.schemes = schemes
	verifiers := make([]auth.Verifier, len(schemes))
	for i, scheme := range schemes {
		verifiers[i] = scheme.Verifier
	}
	return auth.Chain(verifiers...), nil
}

// loadFiles returns a function that registers files with the watcher, which loads them immediately and after each change.
// After each change, the middleware checks again all tokens that are in use.
func (a *accessControl) loadFiles(watcher *reload.Watcher) settings.LoadFiles {
	return func(load func([][]byte) error, files ...settings.File) []settings.Fault {
		err := watcher.Watch(func(contents [][]byte) error {
			if err := load(contents); err != nil {
				return err
			}
			if a.requireToken != nil {
				a.requireToken.Recheck()
			}
			return nil
		}, files...)
		if err == nil {
			return nil
		}
		return splitFaults(err)
	}
}

// FileChecker implements settings.FileChecker. It loads the files in the same way as New, and discards them.
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

// splitFaults returns one fault for each line of an error of reload.Watcher.Watch.
func splitFaults(err error) []settings.Fault {
	var faults []settings.Fault
	for line := range strings.SplitSeq(err.Error(), "\n") {
		setting, detail, _ := strings.Cut(line, ": ")
		faults = append(faults, settings.Fault{Setting: setting, Detail: detail})
	}
	return faults
}

// run closes connections with expired tokens, and runs the authentication schemes, until ctx is canceled.
func (a *accessControl) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, scheme := range a.schemes {
		if scheme.Run != nil {
			running.Go(func() { scheme.Run(ctx) })
		}
	}
	a.requireToken.Run(ctx)
}
