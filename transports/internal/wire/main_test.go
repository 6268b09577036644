package wire_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Under GOOS=js the runtime keeps a goroutine that handles events of the host.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}
