package settings

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// These patterns match the parts of a URL that may be secret.
var (
	urlUser  = regexp.MustCompile(`://[^/\s,]*@`)
	urlQuery = regexp.MustCompile(`(://[^\s,?]*)\?[^\s,]*`)
)

// WithoutSecrets returns the arguments with *** in place of the user name, password and query of each URL.
func WithoutSecrets(args []string) []string {
	clean := make([]string, len(args))
	for i, arg := range args {
		clean[i] = urlQuery.ReplaceAllString(urlUser.ReplaceAllString(arg, "://***@"), "$1?***")
	}
	return clean
}

// secretOnCommandLine returns a warning if a setting contains a secret and was given on the command line, and
// "" otherwise. The parameter text is the setting's value, a comma-separated list of URLs. A user name,
// password or query in a URL counts as a secret.
func secretOnCommandLine(text string) string {
	secret := slices.ContainsFunc(strings.Split(text, ","), func(one string) bool {
		u, err := url.Parse(strings.TrimSpace(one))
		return err == nil && (u.User != nil || u.RawQuery != "")
	})
	given := func(text string) bool {
		return slices.ContainsFunc(os.Args[1:], func(arg string) bool { return strings.Contains(arg, text) })
	}
	switch {
	case !secret:
		return ""
	case given(text):
		return "contains a password or a query on the command line, which every user of this machine can see"
	case given(WithoutSecrets([]string{text})[0]): // see commandLine in package main
		return "contained a password or a query on the command line, which every user of this machine could see until the program hid it"
	default:
		return ""
	}
}
