//go:build !js

package clienttest

import (
	"net/http"

	"github.com/trivium-hub/trivium/transports/client"
)

// newPlatform makes one that keeps no idle connection, which would outlive its test.
func newPlatform() client.Platform {
	return client.NewPlatform(&http.Client{Transport: unshared})
}

const (
	isNative = true
	isPage   = false
)

// goOnline is for pages alone.
func goOnline() {}
