package hub

import (
	"testing"

	"go.uber.org/goleak"
)

// Under GOOS=js, the Go runtime keeps a goroutine for events of the host.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}
