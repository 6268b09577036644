// Package client reads events from a hub, in a Go program or in a page.
//
// A Client is one subscription that survives its connections: whatever transport carries it and how
// often that is lost, the program gets each event once, in the hub's order, and where events are lost
// for good it is told so by an Event with a Gap. One cursor goes through all transports, so a switch
// from one to another loses nothing and repeats nothing.
//
// Who owns what. The goroutine run (type loop) owns the state of the connection; every other
// goroutine tells it by a channel. A connection (type conn) has one goroutine, the pump, which opens
// the stream and hands on what comes, one message at a time. run keeps at most one event that the
// program has not taken, and until it is taken reads no further: so a program that is slow, or stops,
// holds back the hub by its socket, costs bounded memory, and catches up from the hub's log. A look
// at whether a better transport works, and a call of the TokenSource, have a goroutine each. run
// stops a connection and waits for its pump before it makes another; at the end it waits for all that
// was started, and Close waits for run.
//
// Contexts: that of Connect is for the client's whole life; that of Events, States, SetTopics and
// Publish is for the call alone.
//
// All that differs between systems is a Platform. Compiled for a page the package needs no net/http.
package client
