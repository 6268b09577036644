package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/trivium-hub/trivium/transports"
)

// Patterns of the parts of a URL that may be secret.
var (
	urlUser  = regexp.MustCompile(`://[^/\s,]*@`)
	urlQuery = regexp.MustCompile(`(://[^\s,?]*)\?[^\s,]*`)
)

// withoutSecrets returns the arguments with user, password and query of each URL replaced by ***.
func withoutSecrets(args []string) []string {
	clean := make([]string, len(args))
	for i, arg := range args {
		clean[i] = urlQuery.ReplaceAllString(urlUser.ReplaceAllString(arg, "://***@"), "$1?***")
	}
	return clean
}

// serveCmdline serves the command line as pprof.Cmdline does, but hides the secrets in it.
func serveCmdline(w http.ResponseWriter, r *http.Request) {
	if transports.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, strings.Join(withoutSecrets(os.Args), "\x00"))
	}
}

// shownByPS reports whether one of the URLs in a comma-separated list has a user, a password or a query and was given
// on the command line, which every user of the machine can read with ps.
func shownByPS(text string) bool {
	secret := slices.ContainsFunc(strings.Split(text, ","), func(one string) bool {
		u, err := url.Parse(strings.TrimSpace(one))
		return err == nil && (u.User != nil || u.RawQuery != "")
	})
	return secret && slices.ContainsFunc(os.Args[1:], func(arg string) bool { return strings.Contains(arg, text) })
}
