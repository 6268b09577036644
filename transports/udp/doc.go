// Package udp is the datagram source. It reads a UDP socket, and parses and publishes the
// datagrams. It sends no answers, and no datagram can stop it.
//
//	source, err := udp.Listen(udp.Config{
//		Addr: "127.0.0.1:3000", Format: udp.Format{Topic: "udp"}, Publish: h.PublishEach,
//	})
//	go source.Run(ctx)
//
// Reading must never block, because the kernel drops datagrams for which its buffer has no room.
// Source.Run therefore uses two goroutines: the caller's goroutine reads and parses, and a second
// one publishes the queued events in batches. The queue is bounded in events and in bytes. An event
// that does not fit is dropped and counted. A third goroutine logs losses, at most once a second.
//
// No loss is silent. Each JSON text or line in a datagram is either published as one event or
// counted under one reason in Stats.Dropped. A datagram that is dropped without parsing is counted
// once:
//
//	sender                              the sender's address is not allowed
//	signature                           not signed, or with another secret
//	replayed                            a repeat, or its time is outside the skew
//	malformed, too_large, topic, type   the content is invalid
//	overload                            the queue or the replay cache was full
//	engine                              not published: the hub is closed or its engine unavailable
//	kernel                              no room in the socket's buffer (Linux)
//
// A signed datagram (Config.Secret) is accepted once. The replay cache remembers it until its time
// is outside the skew, and up to a sixteenth of the skew longer. It holds at most 2^21 datagrams;
// above this limit, new ones are dropped as overload. If the senders' clocks are right, that allows
// 65,000 datagrams per second under the default skew of 30 s, and 390,000 under 5 s, each with any
// number of lines. Only senders with the secret can fill the cache. The cache is not stored: after
// a restart, for the duration of the skew, a datagram from before the restart may be accepted
// again. If the clock is set back by more than the skew, all datagrams are dropped as replayed
// until the clock has caught up or the hub is restarted. If hubs share a log, Config.PublishUnique
// makes the engine discard events that another hub has published. Each of them is counted as
// replayed.
//
// When the context of Run ends, reading stops, the queued events are published, and Run returns
// with its goroutines ended and the socket closed. Publishing may take up to flushTimeout. Events
// that are not published by then are counted as engine. Datagrams still in the kernel's buffer are
// not read.
package udp
