package wasmdemo

import (
	"encoding/json"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// ServeHTTP serves /demo/ and the paths below, and redirects /demo and /demo/examples to the paths
// that end with a slash.
func (d *Demo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setPolicies(w.Header(), r.Host)
	if !d.cfg.Allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	below, isBelow := strings.CutPrefix(r.URL.Path, "/demo/")
	switch {
	case r.URL.Path == "/demo", below == "examples":
		// The location is relative, because a proxy may serve the hub under a path prefix.
		w.Header().Set("Location", path.Base(r.URL.Path)+"/")
		w.Header().Set("Cache-Control", "no-cache")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	case isBelow && below == "build":
		d.serveState(w, r)
		return
	case isBelow:
		if a := d.find(below); a != nil {
			a.serve(w, r, d.cfg.WriteTimeout)
			return
		}
	}
	d.cfg.NotFound(w, r)
}

// serveState serves the state of the build to a page that waits for the binary.
func (d *Demo) serveState(w http.ResponseWriter, r *http.Request) {
	state, detail := d.State()
	text, err := json.Marshal(struct {
		State  State  `json:"state"`
		Detail string `json:"detail"`
	}{state, detail})
	if err != nil {
		panic(err) // never happens, because two strings can be encoded
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(text, '\n')) // fails if the client has disconnected
	}
}

// setPolicies sets the browser's policies: the page may load from and connect to only its own hub,
// and no other page may frame or load it.
func setPolicies(h http.Header, host string) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "+
		"connect-src 'self'"+sockets(host)+"; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// hostSource matches the hosts that CSP can name. CSP cannot name an IPv6 address.
var hostSource = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?$`)

// sockets returns the origins of the hub's WebSockets, for browsers that do not include them in
// 'self' (Safari before 15.4). It omits an invalid Host, because a character in it could end the
// CSP directive.
func sockets(host string) string {
	if !hostSource.MatchString(host) {
		return ""
	}
	return " ws://" + host + " wss://" + host
}
