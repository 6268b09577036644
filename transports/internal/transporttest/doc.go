// Package transporttest tests the three transports with one table of scenarios, over real sockets
// and with a real hub. It also provides the tests of each transport with a Server and Clients. The
// Clients use only net.Conn and the decoders of package wire, so that they cannot have the same
// faults as package client.
//
// A Path is one way from the hub to a subscriber: a transport, an HTTP version and a write path.
// Every rule of docs/protocol.md#starting-a-subscription is tested over each Path. Other tests cut
// a connection after any byte of a stream and then resume over another Path.
//
// With TRIVIUM_LONG=1, connections are cut after every byte, otherwise at some hundred positions of
// each stream.
//
// A Server starts the goroutines of its hub, registry and HTTP server, which end before the test
// ends. A Client starts none.
package transporttest
