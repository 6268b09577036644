package client

import (
	"strings"
	"syscall/js"
)

func parseAddress(text string) (address, error) {
	u, err := catchThrown(func() js.Value { return js.Global().Get("URL").New(text) })
	if err != nil {
		return address{}, err
	}
	part := func(name string) string { return u.Get(name).String() }
	return address{
		scheme: strings.TrimSuffix(part("protocol"), ":"), host: part("host"), path: part("pathname"),
		user: part("username")+part("password") != "", query: strings.Contains(text, "?"), fragment: strings.Contains(text, "#"),
	}, nil
}
