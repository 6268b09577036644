package clienttest

import (
	"os"
	"testing"

	"github.com/trivium-hub/trivium/transports/client"
)

// suite runs all tests that must pass on every platform.
func suite(t *testing.T, e *env) {
	if os.Getenv(envTriviumJS) == "" { // trivium.js has no platform that can be tested separately
		t.Run("platform", func(t *testing.T) { platformSuite(t, e) })
	}
	t.Run("client", func(t *testing.T) { clientSuite(t, e) })
}

// transports returns the transports for every scenario. Without TRIVIUM_LONG, Auto is tested only natively and in
// the scenarios that concern it.
func transports(e *env) map[string]client.Transport {
	transports := map[string]client.Transport{
		"websocket": client.WebSocket, "sse": client.SSE, "longpoll": client.LongPoll,
	}
	if isPage {
		transports["eventsource"] = client.EventSource
	}
	if e.long || isNative {
		transports["auto"] = client.Auto
	}
	return transports
}

func clientSuite(t *testing.T, e *env) {
	t.Run("woken", func(t *testing.T) { testWoken(t, e) }) // not in parallel, because the test wakes all clients of the page
	for name, scenario := range map[string]func(*testing.T, *env, client.Transport){
		"cut": testCut, "half-open": testHalfOpen, "stall": testStall, "slow": testSlow, "reset": testReset,
		"restart": testRestart, "drain": testDrain, "denied": testDenied, "token ends": testTokenEnds, "token renewed": testTokenRenewed,
		"topics": testTopics, "publish": testPublish,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for tr, transport := range transports(e) {
				t.Run(tr, func(t *testing.T) {
					t.Parallel()
					scenario(t, e, transport)
				})
			}
		})
	}
	for name, scenario := range map[string]func(*testing.T, *env){
		"blocked": testBlocked, "buffered": testBuffered, "switches": testSwitches, "own origin": testOwnOrigin, "tickets": testTickets,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, e)
		})
	}
}
