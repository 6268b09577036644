// Package transporttest tests the three transports with one table of scenarios, over real sockets
// and with a real hub. It also provides a Server and Clients to the tests of each transport. The
// Clients use only net.Conn, net/http and the decoders of package wire, so that a fault of package
// client cannot hide a fault of the hub.
//
// A Path is one way from the hub to a subscriber: a transport, an HTTP version and a write path.
// Every rule of docs/protocol.md#starting-a-subscription is tested over each Path. Other tests close
// a connection after a given number of bytes and then resume over another Path.
//
// With TRIVIUM_LONG=1, these tests close a connection after every possible number of bytes, otherwise at
// a few hundred positions of each stream.
//
// A Server starts the goroutines of its hub, registry and HTTP server, which end before the test
// ends. A Client starts none.
package transporttest
