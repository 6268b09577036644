package wire_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/trivium-hub/trivium/hub/testkit"
)

// With GOOS=js, the Go runtime runs a goroutine for events of the JavaScript host. It is not a
// leak.
func TestMain(m *testing.M) {
	testkit.Main(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}
