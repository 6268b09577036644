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

// clientSuite runs the scenarios of a client. Those that wait longest begin first.
func clientSuite(t *testing.T, e *env) {
	t.Run("woken", func(t *testing.T) { testWoken(t, e) }) // not in parallel, because the test wakes all clients of the page
	for _, s := range []struct {
		name string
		run  func(*testing.T, *env)
	}{
		{"buffered", testBuffered}, {"switches", testSwitches}, {"blocked", testBlocked}, {"own origin", testOwnOrigin},
		{"tickets", testTickets},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, e)
		})
	}
	for _, s := range []struct {
		name string
		run  func(*testing.T, *env, client.Transport)
	}{
		{"token renewed", testTokenRenewed}, {"token ends", testTokenEnds}, {"stall", testStall}, {"slow", testSlow}, {"drain", testDrain},
		{"half-open", testHalfOpen}, {"publish", testPublish}, {"topics", testTopics}, {"cut", testCut}, {"reset", testReset},
		{"restart", testRestart}, {"denied", testDenied},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for tr, transport := range transports(e) {
				t.Run(tr, func(t *testing.T) {
					t.Parallel()
					s.run(t, e, transport)
				})
			}
		})
	}
}
