package clienttest

import (
	"os"
	"strconv"
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

// clientSuite runs the scenarios of a client. The scenarios that wait longest are registered last,
// because Go runs parallel subtests in reverse order.
func clientSuite(t *testing.T, e *env) {
	t.Run("woken", func(t *testing.T) { testWoken(t, e) }) // not in parallel, because the test wakes all clients of the page
	parallel := func(name string, scenario func(*testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t)
		})
	}
	once := func(name string, scenario func(*testing.T, *env)) {
		parallel(name, func(t *testing.T) { scenario(t, e) })
	}
	eachTransport := func(name string, scenario func(*testing.T, *env, client.Transport)) {
		for tr, transport := range transports(e) {
			parallel(name+"/"+tr, func(t *testing.T) { scenario(t, e, transport) })
		}
	}
	eachTransport("denied", testDenied)
	eachTransport("restart", testRestart)
	eachTransport("reset", testReset)
	eachTransport("cut", testCut)
	eachTransport("topics", testTopics)
	once("tickets", testTickets)
	once("own origin", testOwnOrigin)
	once("blocked", testBlocked)
	eachTransport("publish", testPublish)
	eachTransport("half-open", testHalfOpen)
	eachTransport("drain", testDrain)
	eachTransport("slow", testSlow)
	eachTransport("stall", testStall)
	eachTransport("token ends", testTokenEnds)
	for n, dice := range switchDice(t, e) {
		parallel("switches/"+strconv.Itoa(n), func(t *testing.T) { testSwitches(t, e, dice) })
	}
	eachTransport("token renewed", testTokenRenewed)
	once("buffered", testBuffered)
}
