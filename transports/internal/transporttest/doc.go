// Package transporttest tests the three transports with one table of scenarios, over real sockets
// and with a real hub. It also provides the tests of each transport with a Server and Clients. The
// Clients use only net.Conn and the decoders of package wire, so that they share no fault with
// package client.
//
// A Path is one way from the hub to a subscriber: a transport, an HTTP version and a write path.
// Everything that docs/protocol.md#starting-a-subscription defines is tested over each Path. So is
// a connection lost after every byte of a stream, followed by a resume over every other Path.
//
// With TRIVIUM_LONG=1 connections are cut after every byte; otherwise after some hundred bytes of
// each stream.
//
// A Server's goroutines are those of its hub, registry and HTTP server. They have ended when the
// test has. A Client has none.
package transporttest
