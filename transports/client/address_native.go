//go:build !js

package client

import (
	"net/url"
	"strings"
)

func parseAddress(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return address{}, err
	}
	return address{
		scheme: u.Scheme, host: u.Host, path: u.EscapedPath(),
		user: u.User != nil, query: u.RawQuery != "" || u.ForceQuery, fragment: strings.Contains(text, "#"),
	}, nil
}
