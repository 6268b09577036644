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
// reason in Stats.Dropped:
//
//	malformed, too_large, topic, type   what it said was refused (wire.RefusalReason)
//	overload                            the queue was full
//	engine                              the hub did not take it: it is closed, or its engine is away
//	kernel                              datagrams the socket's buffer had no room for (Linux)
//
// When the context of Run ends, reading stops, what was read is published, and Run returns with
// its goroutines ended and the socket closed. Publishing gets flushTimeout for that; what it could
// not publish is counted as engine. What the kernel still held is not read any more.
package udp
