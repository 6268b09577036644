package wire_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/trivium-hub/trivium/hub/testkit"
)

// With GOOS=js, the Go runtime itself runs a goroutine that handles JavaScript events. The check for
// leaked goroutines must ignore it.
func TestMain(m *testing.M) {
	testkit.Main(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}
