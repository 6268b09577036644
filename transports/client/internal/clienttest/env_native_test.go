//go:build !js

package clienttest

import (
	"context"
	"net/http"

	"github.com/trivium-hub/trivium/transports/client"
)

// newPlatform returns a platform that keeps no idle connections, because these would outlive the
// test.
func newPlatform() client.Platform {
	return client.NewPlatform(&http.Client{Transport: unshared})
}

const (
	isNative = true
	isPage   = false
)

func connectClient(cfg client.Config) (testedClient, error) {
	return client.Connect(context.Background(), cfg)
}

// goOnline does nothing outside a page.
func goOnline() {}
