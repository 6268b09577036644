//go:build !js

package clienttest

import (
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

// goOnline does nothing outside a page.
func goOnline() {}
