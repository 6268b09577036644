// Package udp publishes events that arrive as UDP datagrams. A Source reads datagrams from a socket,
// parses them and publishes their events. It sends no answers, and no datagram can stop it.
//
//	source, err := udp.Listen(udp.Config{
//		Addr: "127.0.0.1:3000", Format: udp.Format{Topic: "udp"}, Publish: h.PublishEach,
//	})
//	go source.Run(ctx)
//
// If a Source did not read fast enough, the kernel's buffer would fill, and the kernel would drop
// datagrams. Therefore Source.Run uses two goroutines: the caller's goroutine reads, parses and queues
// events, and a second goroutine publishes them in batches. The number and the size of queued events
// are limited. An event that does not fit into the queue is dropped and counted. A third goroutine logs
// losses, at most once per second.
//
// Every loss is counted. Each JSON text or line in a datagram is either published as one event or
// counted under one reason in Stats.Dropped. A datagram that is dropped without parsing is counted
// once:
//
//	sender                              the sender's address is not allowed
//	signature                           the signature is missing or made with another secret
//	replayed                            the datagram is a repeat, or its time is outside the skew
//	malformed, too_large, topic, type   the content is invalid
//	overload                            the queue or the replay cache was full
//	engine                              the hub was closed or its engine unavailable
//	kernel                              the socket's buffer in the kernel was full (Linux)
//
// A signed datagram (Config.Secret) is accepted once. Skew is the maximum difference between the time
// of the datagram and the hub's clock. The replay cache stores a datagram until its time is outside the
// skew, and up to a sixteenth of the skew longer. The cache holds at most 2^21 datagrams; if it is full,
// new datagrams are dropped and counted under overload. If the senders' clocks are right, the cache
// suffices for 65,000 datagrams per second with the default skew of 30 s, and for 390,000 with a skew of
// 5 s, each with any number of lines. Only senders that know the secret can fill the cache.
//
// The cache is only in memory. Therefore, after a restart, a datagram from before the restart may be
// accepted again until its time is outside the skew. If the hub's clock is set back by more than the
// skew, all datagrams are dropped and counted under replayed until the clock has caught up or the hub is
// restarted. If several hubs share a log, Config.PublishUnique makes the engine discard events that
// another hub has already published. Each such event is counted under replayed.
//
// When the context of Run ends, Run stops reading, publishes the queued events, closes the socket and
// returns after its goroutines have ended. Publishing may take up to flushTimeout; events that are not
// published by then are counted under engine. Datagrams that are still in the kernel's buffer are not
// read.
package udp
