// Package clienttest tests the client natively, under Node.js and in a browser, with the same
// suites.
//
// The suites that run everywhere (clientSuite, platformSuite) need only the URL of a hub, and use
// the client's public API. Everything else is done by a harness, which always runs natively. It
// runs hubs as processes, a toxiproxy in front of each hub, and a control server. Through the
// control server, a test can cut, block or slow down a connection, restart a hub, publish, or
// create a token, even from a page. The test binary, compiled for js/wasm, is run by Node.js and by
// a page of the control server.
//
// With TRIVIUM_LONG=1, testSwitches changes the transport 10,000 times, and the tests that take
// minutes run. TRIVIUM_SEED=N repeats the random choices of a run that printed N. With
// TRIVIUM_REQUIRE_BROWSER=1, tests fail if no browser or no Node.js is installed. In -run
// TestBrowser/client/cut, the part after the first slash selects tests in the page.
package clienttest
