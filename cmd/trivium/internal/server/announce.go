package server

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/trivium-hub/trivium/wasmdemo"
)

// Announce prints commands and URLs with which a user can try each service of the hub. If show is set,
// they contain the token of --token or the generated token. The caller sets show only if w is a
// terminal or the user has asked for it, because otherwise a log might store the token.
func (s *Server) Announce(w io.Writer, show bool) {
	base := "http://" + reachable(s.public.Addr())
	switch {
	case len(s.cfg.ACME) > 0: // the certificate is valid for this name only
		base = "https://" + s.cfg.ACME[0]
	case s.tls != nil:
		base = "https://" + reachable(s.public.Addr())
	}
	query, header, fragment, topic := "", "", "", "events"
	if s.cfg.Auth != "none" {
		token := "TOKEN"
		if show {
			token = cmp.Or(s.access.token, token)
		}
		query = "?access_token=" + token
		fragment = "#token=" + token
		header = " -H 'Authorization: Bearer " + token + "'"
		if s.access.token == "" { // a token from a file or an issuer may not have the right to publish to "events"
			topic = "TOPIC"
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Trivium is listening.\n\n")
	fmt.Fprintf(&b, "  SSE        curl -N '%s/sse%s'\n", base, query)
	fmt.Fprintf(&b, "  WebSocket  %s/ws%s\n", strings.Replace(base, "http", "ws", 1), query)
	fmt.Fprintf(&b, "  long-poll  curl '%s/poll%s'\n", base, query)
	fmt.Fprintf(&b, "  publish    curl%s -d '{\"hello\":\"world\"}' -H 'Content-Type: application/json' %s/publish/%s\n", header, base, topic)
	if s.hasDemo() {
		fmt.Fprintf(&b, "  demo       %s/demo/%s\n", base, fragment)
	} else if s.demo != nil {
		fmt.Fprintf(&b, "  examples   %s/demo/examples/%s\n", base, fragment)
	}
	for _, source := range s.sources {
		host, port, _ := net.SplitHostPort(reachable(source.addr)) // cannot fail: JoinHostPort made the address
		fmt.Fprintf(&b, "  %s\n", source.example(host, port))
	}
	if s.admin != nil {
		fmt.Fprintf(&b, "  operator   http://%s/metrics\n", reachable(s.admin.Addr()))
	}
	switch {
	case s.cfg.Auth == "none":
		fmt.Fprintf(&b, "\nEvery client that can reach these addresses can read and publish (--auth none).\n")
	case s.access.token == "":
		fmt.Fprintf(&b, "\nTOKEN stands for a token of the configured file or issuer, and TOPIC for a topic that it may publish.\n")
	case show && s.cfg.Token != "":
		fmt.Fprintf(&b, "\nThe token is that of --token or TRIVIUM_TOKEN.\n")
	case show:
		fmt.Fprintf(&b, "\nThe token is valid until the hub stops.\n")
	case s.cfg.Token != "":
		fmt.Fprintf(&b, "\nTOKEN stands for the token of --token or TRIVIUM_TOKEN.\n")
	default:
		fmt.Fprintf(&b, "\nTOKEN was generated for this run. It is not shown, because standard error is not a terminal and a log would store it.\n"+
			"To create a token: trivium token NAME --tokens FILE --subscribe '>' --publish '>', then serve with --tokens FILE.\n"+
			"To show the generated token: --print-token.\n")
	}
	fmt.Fprintln(w, b.String())
}

// hasDemo reports whether the demo page is available. If it was not built, the page only explains how to build it.
func (s *Server) hasDemo() bool {
	if s.demo == nil {
		return false
	}
	state, _ := s.demo.State()
	return state != wasmdemo.Absent
}

// reachable returns an address at which programs on this machine can connect to a listener. The parameter a is
// the listener's address. If the listener accepts connections on all addresses, the returned host is localhost.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
