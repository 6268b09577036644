// Package udp is the datagram source: it reads a UDP socket, parses what comes and publishes it.
// It never answers, and no datagram stops it.
//
// Nothing may hold up the reading, since the kernel drops what its buffer has no room for. So two
// goroutines share the work, both of them Source.Run's own: the one that called it reads and
// parses, a second one publishes in batches what the first has queued. The queue is bounded by
// events and by bytes; past that, an event is dropped and counted, and nobody waits. A third
// goroutine looks once a second whether there are losses to be logged.
//
// No loss is silent. Every text in a datagram ends as one published event or is counted under one
// reason in Stats.Dropped; a datagram that is dropped unread counts once:
//
//	sender                              the datagram is of an address that is not allowed
//	signature                           it is not signed, or with another secret
//	replayed                            it was taken before, or its time is outside the skew
//	malformed, too_large, topic, type   what it said was refused (wire.RefusalReason)
//	overload                            the queue was full, or the memory of signed datagrams
//	engine                              the hub did not take it: it is closed, or its engine is away
//	kernel                              datagrams the socket's buffer had no room for (Linux)
//
// A signed datagram (Config.Secret) is taken once. What was taken is remembered for as long as its
// time is within the skew, and a sixteenth of the skew longer, never shorter: 2^21 datagrams at
// most, past which new ones are dropped as overload. From senders whose clocks are right that is
// 65,000 datagrams a second without end under the default skew of 30 s, 390,000 under 5 s, each of
// many lines if need be; who has not the secret cannot fill it. The memory is of the process: for
// the length of the skew after a restart, a datagram from before it may be taken again. A clock set
// back by more than the skew has all datagrams dropped as replayed until it is where it was, or
// the hub starts anew. Where hubs share a log, Config.PublishUnique has the engine leave out what another hub
// has taken; each event so left out counts as replayed.
//
// When the context of Run ends, reading stops, what was read is published, and Run returns with
// its goroutines ended and the socket closed. Publishing gets flushTimeout for that; what it could
// not publish is counted as engine. What the kernel still held is not read any more.
package udp
