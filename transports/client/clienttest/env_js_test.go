package clienttest

import (
	"os"
	"syscall/js"
	"testing"

	"go.uber.org/goleak"

	"github.com/trivium-hub/trivium/transports/client"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // it waits for JavaScript's
}

// TestInside is what Node.js and the page run.
func TestInside(t *testing.T) {
	suite(t, newEnv(os.Getenv(envControl)))
}

func newPlatform() client.Platform { return client.NewPlatform() }

const isNative = false

// isPage: Node.js has no EventSource, and no window.
var isPage = js.Global().Get("EventSource").Type() == js.TypeFunction

// goOnline tells the page what a browser tells it when the network is back.
func goOnline() {
	js.Global().Call("dispatchEvent", js.Global().Get("Event").New("online"))
}
