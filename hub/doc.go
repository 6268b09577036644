// Package hub keeps an ordered log of events and delivers them to subscriptions. It is the core of Trivium. It contains
// nothing about networks and wire formats.
//
//	h, err := hub.New(hub.Config{}) // in memory, default limits
//	go func() {
//		for e, err := range h.Events(ctx, "orders.>") { … }
//	}()
//	h.Publish(ctx, &hub.Event{Topic: "orders.eu", Data: []byte(`{"total":1.50}`)})
//
// An Engine stores the events and determines their order: [NewMemory] returns an engine that uses only
// memory, and package jetstream contains a durable engine. A Cursor is a position in the log. A
// Subscription consists of filters and a Cursor. It has no queue: it reads from the in-memory log, or
// reads older events from the durable log of the engine. [Hub.Events] is the simplest way to read;
// [Hub.Subscribe] is for transports, which write to many connections.
//
// A publisher never waits for a subscriber. A subscriber gets a [Gap] if and only if retention has removed an event
// that matches its filters.
//
// The hub owns all goroutines: the fan-out workers and a goroutine that removes expired events. If the
// engine is a Log, there are up to four more: the replay reader, a reader of filtered chunks, the
// locator of start positions, and a goroutine that maintains the trimmed-topic index. New starts the
// goroutines and Close waits for them. All methods of Hub are safe for concurrent use. The package
// compiles and passes its tests as WebAssembly.
package hub

// Structure
//
// For the layers of the files, see docs/architecture.md#layers-of-package-hub.
//
// An Engine delivers its events to the hub, which keeps the newest in an in-memory log (type memlog).
// For each event, the hub finds the subscription groups (type group) with a matching filter. Fan-out
// workers then offer the new events of each group to its subscribers in batches (type Batch). A group
// with more than maxShardSize subscribers is divided into shards (type shards), which share the batch
// and its encodings (type sharedBatch), so that several workers serve one group. A subscription reads
// its events from the in-memory log, without batches, after a reconnect, after it has fallen behind,
// and for long-polls.
//
// For each topic, the hub records the newest event that retention removed.
//
// An engine whose log is durable or shared with other hubs also implements Log. The in-memory log then
// contains only the newest events of the durable log. Subscribers whose positions are before the
// in-memory log read the durable log through the replay reader (type replayReader), in chunks that all
// of them share. A deleted range is an element of the log, so each subscription reads it at its
// position in the log. A subscription may start at a time, or request more of the newest events than
// the in-memory log contains. The locator (type locator) then finds the position of the subscription in
// the durable log before the subscription reads. To find the newest events, it scans the log backward
// (type backwardScan). The trimmed-topic index (type lossIndex) records the topics of the events that
// the durable log has removed.
//
// A publisher waits for the engine, for Hub.mu, and, if the engine is a Log, until the hub has received the events.
// Hub.mu is held for bounded work only: a search over many events or topics releases it between pieces, and the number
// of concurrent searches is limited. The lock order is: the engine's locks, delivery.mu, Hub.mu, replayReader.mu or
// locator.mu, topicTree.suspendedMu. A Sink is called without any of these locks. sharedBatch.mu is taken by
// Batch.Coalesce, which a Sink calls; while it is held, no other lock of the hub is taken. When an event with
// an attachment is removed, the hub calls Owner.Discard with Hub.mu held. Discard may take a lock of a
// transport. A transport must not call the hub while it holds that lock.
