package clienttest

import (
	"os"
	"syscall/js"
	"testing"

	"go.uber.org/goleak"

	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/client"
)

func TestMain(m *testing.M) {
	testkit.Main(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // this goroutine waits for events of JavaScript
}

// TestInside runs the suites in the current environment, which is Node.js or a browser page.
func TestInside(t *testing.T) {
	suite(t, newEnv(os.Getenv(envControl)))
}

func newPlatform() client.Platform { return client.NewPlatform() }

const isNative = false

// isPage reports whether this is a browser page. Node.js has no EventSource.
var isPage = js.Global().Get("EventSource").Type() == js.TypeFunction

// goOnline dispatches the window event that reports that the network is available again.
func goOnline() {
	js.Global().Call("dispatchEvent", js.Global().Get("Event").New("online"))
}
