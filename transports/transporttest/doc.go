// Package transporttest holds the three transports to one table of scenarios, over real sockets
// and a real hub, and gives the tests of each transport what that takes: a Server, and Clients of
// net.Conn and the decoders of wire alone, so that they share no fault with the client that users
// get.
//
// A Road is one way from the hub to a subscriber: a transport, an HTTP version and a write path.
// What docs/protocol.md#starting-a-subscription says of every subscription is tested over each; a cut at every byte of a
// stream, and the resume from there over every other.
//
// TRIVIUM_LONG=1 cuts at every byte, where otherwise some hundreds of each stream have to do.
//
// A Server's goroutines are those of its hub, group and HTTP server; they have ended when the test
// has. A Client has none.
package transporttest
