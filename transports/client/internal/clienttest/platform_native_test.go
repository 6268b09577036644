//go:build !js

package clienttest

import "testing"

func testOwn(*testing.T, *env) {}
