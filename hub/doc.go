// Package hub is the core of Trivium: events in one order, who wants which, and where each
// subscriber stands. It knows no network and no format.
//
// An Engine decides the order and hands the events back; the hub keeps the newest of them in a
// window, finds the feeds that each concerns, and has workers offer every feed's new events to
// its subscribers in rounds. A subscriber is a set of filters and a cursor: what it has not read
// is in the window, whether it comes back after a cut, has fallen behind, or asks by long-poll.
// So there is no seam between history and the present, and no queue for each subscriber.
//
// What the window lets go of it remembers topic by topic, so that a subscriber is told of a gap
// if and only if something of its filters was lost.
//
// An engine may be a Log too, of which the window is but the end. Who stands behind the window then
// reads the log by way of the archive, in chunks that all share, until it is in the window; a hole
// in the log is an element of it, to which each reader comes in its place. Who asks for more of the
// newest events than the window has goes back through the log first, by a trace. Of what the log
// loses it is the tail that remembers the topics.
//
// A publisher never waits for a subscriber: it waits for the engine, with a Log a moment longer for its
// events to come by, and for Hub.mu, which is held for bounded work: what has to look at more
// than a number of events or topics does so in pieces, which take turns with other such work. The lock order is:
// the engine's, delivery.mu, Hub.mu, fanout.mu or archive.mu, topicTree.walking. A Sink is called with none of
// them held.
//
// The goroutines are the Hub's: the fan-out workers and one that ends the age of events; with a Log
// one that reads it for subscribers, and one that watches its oldest end and lets go of what was read.
// New starts them and Close waits for them. The package compiles and passes its tests as WebAssembly.
package hub
