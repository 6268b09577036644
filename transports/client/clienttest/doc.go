// Package clienttest is the client's suite: the same tests natively, under Node.js and in a browser.
//
// What runs in all three knows a hub by its URLs alone and the client by its public API (clientSuite,
// platformSuite). A harness, which is always native, owns the rest: real hubs as processes, a
// toxiproxy before each, and a control server by which a test in a page too can cut, blind or slow a
// connection, restart a hub, publish, or have a token made. The test binary, compiled for js/wasm,
// is run by Node.js and by a page that the control server serves.
//
// TRIVIUM_LONG=1 does 10,000 random switches everywhere and waits for what takes a minute;
// TRIVIUM_SEED=N repeats the switches of a run that printed N; TRIVIUM_REQUIRE_BROWSER=1 fails
// where there is no browser or no Node.js. Of -run TestBrowser/client/cut what follows the first
// slash selects in the page.
package clienttest
