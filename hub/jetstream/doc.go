// Package jetstream implements hub.Engine on a NATS JetStream stream: a log on disk, which several hubs may share. The
// NATS server runs embedded in the process, or outside of it.
//
//	engine, err := jetstream.New(jetstream.Config{Store: "/var/lib/hub"}) // or URL: "nats://…"
//	h, err := hub.New(hub.Config{Engine: engine})
//
// The engine uses one stream. An event's seq is the stream sequence of its message, its topic is the message's subject
// without the stream's name, and the epoch is stored in the stream's metadata. Every hub therefore accepts the same
// cursors, also after a restart. The engine reads new messages with one consumer, and events older than the in-memory
// log by direct gets, in chunks.
//
// Publish returns after JetStream's acknowledgement, and the hub delivers only committed events. One
// event is one message. Events that must be stored together or not at all are an atomic batch. Events
// of a datagram source are single messages, many of which may wait for acknowledgement at the same
// time. Such a message is never sent a second time, because it could then be stored after a later one.
// A publish that was certainly not stored, for example during the election of a leader, is retried for
// timeouts.retry. A publish whose outcome is unknown is retried only if it has an idempotency key,
// which JetStream recognizes. The engine also remembers the keys that it reads from the stream, because
// JetStream cannot return the result of a publish after its events were removed.
//
// An embedded server has no listener: the hub connects to it in memory. Its store is locked while it is open, and
// records whether it was closed cleanly. Unless Config.SyncAlways is set, a power loss may remove acknowledged
// events, and JetStream would assign their sequences again. Therefore a new epoch begins if the store was not closed
// cleanly and the machine was restarted since then. If only the process ended, nothing is lost.
//
// Besides the goroutines of NATS, the engine owns up to five: one follows the stream, one delivers events to the hub,
// one checks every second that the stream exists, one checks the rights of the NATS user if the server is outside of
// the process, and one compares the replicas if there are several. Start starts them and Close waits for them. The
// engine cannot continue if the stream was deleted or created anew, if the stream lost events that were delivered (it
// then gets a new epoch), or if the embedded server cannot write. Failed reports this, and the hub must be restarted.
package jetstream
