// Package hub is the core of Trivium. It keeps an ordered log of events, matches events with subscriptions, and
// tracks the position of each subscription. It does not know networks or wire formats.
//
// An Engine decides the order of events and delivers them to the hub. The hub keeps the newest events in an
// in-memory log (type memlog). For each event, it finds the subscription groups (type group) with a matching
// filter. Fan-out workers then offer the new events of each group to its subscribers in batches (type Batch). A
// subscription is a set of filters and a cursor. After a reconnect, after falling behind, and for long-polls, it
// reads its events from the in-memory log. So no subscriber has a queue of its own.
//
// The hub remembers, by topic, which events retention removed. It reports a gap to a subscriber if and only if an
// event that matches the subscriber's filters was lost.
//
// An engine may also be a Log, such as a durable log. The in-memory log then has only the end of it. Subscribers
// older than the in-memory log read the durable log through the replay reader (type replayReader), in chunks that
// all of them share. A deleted range is an element of the log, and each subscription meets it at its position. If a
// subscriber asks for more of the newest events than the in-memory log has, a backward scan (type backwardScan)
// first finds where they begin in the durable log. The trimmed-topic index (type lossIndex) remembers the topics of
// the events that the durable log removed.
//
// A publisher never waits for a subscriber. It waits for the engine, for Hub.mu, and with a Log until the hub has
// its events. Hub.mu is held for bounded work only: a search over many events or topics works in pieces, and such
// searches take turns. The lock order is: the engine's locks, delivery.mu, Hub.mu, fanout.mu or replayReader.mu,
// topicTree.suspendedMu. A Sink is called without any of these locks.
//
// The hub owns all goroutines: the fan-out workers and one that removes expired events. With a Log there are two
// more: the replay reader, and one that maintains the loss index and drops old chunks. New starts the goroutines
// and Close waits for them. The package compiles and passes its tests as WebAssembly.
package hub
