//go:build !js

package clienttest

import (
	"context"
	"net/http"

	"github.com/trivium-hub/trivium/transports/client"
)

// newPlatform returns a platform without idle connections, which would outlive the test.
func newPlatform() client.Platform {
	return client.NewPlatform(&http.Client{Transport: unshared})
}

const (
	isNative = true
	isPage   = false
)

func connectSubject(cfg client.Config) (subject, error) {
	return client.Connect(context.Background(), cfg)
}

// goOnline does nothing outside a page.
func goOnline() {}
