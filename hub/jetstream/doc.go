// Package jetstream is the hub's engine that does not forget and that many hubs share: NATS
// JetStream, embedded in the process or outside of it.
//
// There is one stream. An event's seq is its sequence in it, its topic a subject below the stream's
// name, and the epoch stands in the stream's metadata since it was made; so a cursor is good on
// every hub and after every restart. The hub follows the stream with one consumer and reads behind
// its window by direct gets, in chunks.
//
// What is told is what was committed: Publish answers after JetStream's acknowledgement. One event
// is one message; several that must stand or fall together are an atomic batch; those of a
// datagram source go as messages each, many on their way at once, and none is ever sent again, so
// that none can overtake another. What failed for certain, as while the stream elects a leader,
// is tried again for retryTime; what may have been done is tried again only under an idempotency
// key, by which JetStream knows it. What came by on the stream under a key the hub remembers too, since
// JetStream can tell no longer what it was once the event is gone.
//
// An embedded server has no listener: the hub talks to it through memory. Its store is locked while
// it is open, and knows whether it was closed well. Under the interval sync a power loss may take
// events that were acknowledged, whose sequences would then be given again: so after an unclean
// end with another boot of the machine the epoch is new. The end of the process alone loses nothing.
//
// The engine owns these goroutines besides those of NATS: one follows, one delivers, one looks every
// second whether the stream is there, and with several replicas one compares them. Start starts them and Close waits for them. A stream that
// was deleted, made anew, or lost what was delivered of it, which gives it a new epoch, cannot be followed
// any more, nor can an embedded one that could not be written: Failed tells, and the hub has to be
// started anew.
package jetstream
