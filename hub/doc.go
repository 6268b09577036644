// Package hub keeps an ordered log of events and delivers them to subscriptions. It is the core of Trivium, and knows no
// network and no wire format.
//
//	h, err := hub.New(hub.Config{}) // in memory, default limits
//	go func() {
//		for e, err := range h.Events(ctx, "orders.>") { … }
//	}()
//	h.Publish(ctx, &hub.Event{Topic: "orders.eu", Data: []byte(`{"total":1.50}`)})
//
// An Engine decides the order of events: that of [NewMemory], or the durable one of package jetstream. A Cursor is a
// position in the log. A Subscription has filters and a Cursor, and no queue: it reads from the in-memory log, or events
// that are older from the durable log of its engine. [Hub.Events] is the simplest way to read; [Hub.Subscribe] is for
// transports, which write to many connections.
//
// A publisher never waits for a subscriber. A subscriber gets a [Gap] if and only if retention has removed an event that
// matches its filters.
//
// The hub owns all goroutines: the fan-out workers and one that removes expired events. With a Log there are up to four
// more: the replay reader, one that reads filtered chunks for it, the locator of starts, and one that maintains the
// trimmed-topic index. New starts the goroutines and Close waits for them. All methods of Hub are safe for concurrent
// use. The package compiles and passes its tests as WebAssembly.
package hub

// Structure
//
// The files are in layers, see docs/architecture.md#layers-of-package-hub.
//
// An Engine delivers its events to the hub, which keeps the newest in an in-memory log (type memlog). For each event it
// finds the subscription groups (type group) with a matching filter. Fan-out workers then offer the new events of each
// group to its subscribers in batches (type Batch). A group with more than maxShardSize subscribers has shards (type shards),
// which share the batch and its encodings (type sharedBatch), so that several workers serve one group. After a reconnect, after falling behind, and for long-polls, a
// subscription reads its events from the in-memory log.
//
// The hub remembers, by topic, which events retention removed.
//
// An engine may also be a Log, such as a durable log. The in-memory log then has only the end of it. Subscribers older
// than the in-memory log read the durable log through the replay reader (type replayReader), in chunks that all of them
// share. A deleted range is an element of the log, and each subscription meets it at its position. If only the durable
// log knows where a subscription starts, the locator (type locator) finds that before the subscription reads: with a
// time, or with more of the newest events than the in-memory log has, for which it scans backward (type backwardScan).
// The trimmed-topic index (type lossIndex) remembers the topics of the events that the durable log removed.
//
// A publisher waits for the engine, for Hub.mu, and with a Log until the hub has its events. Hub.mu is held for bounded
// work only: a search over many events or topics works in pieces, and such searches take turns. The lock order is: the
// engine's locks, delivery.mu, Hub.mu, fanout.mu, replayReader.mu or locator.mu, topicTree.suspendedMu. A Sink is called
// without any of these locks. sharedBatch.mu is taken by Batch.Coalesce, which a Sink calls, and no lock of the hub except
// that of the encoding cache is taken with it.
