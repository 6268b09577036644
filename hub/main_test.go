package hub

import (
	"testing"

	"go.uber.org/goleak"
)

// Under GOOS=js the runtime itself keeps a goroutine that hands over the host's events.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}
