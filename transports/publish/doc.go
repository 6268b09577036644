// Package publish accepts events over HTTP (docs/protocol.md#publishing-over-http): one envelope, an array of
// envelopes, a stream of envelopes as lines, or, with the topic in the path, a body or a stream of lines with only the
// data. A body may be compressed with gzip. It is decompressed as it is read, and limits apply to the decompressed
// size.
//
//	publisher, err := publish.New(publish.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { transports.WriteProblem(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/publish", auth.New(auth.Config{Verifier: tokens}).Wrap(refuse)(http.HandlerFunc(publisher.ServeEnvelopes)))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler refuses all
// requests.
//
// The goroutine that serves a request also reads, authorizes and publishes its events. Events that have arrived
// completely are published even if the client disconnects, because a disconnect must not release an idempotency key.
// The engine limits the duration of a publish.
//
// A stream of lines publishes every complete line before it waits for more input. If publishing is slow, for example on
// disk or in a cluster, a second goroutine publishes while the first continues to read. Lines that are read during one
// publish are published together by the next one, so that many small events need few publishes. The first goroutine
// waits for the second at the end. A stream of any length uses the memory of one line and two such batches. It ends
// when its token ends. Other bodies are authorized when they have arrived completely. The memory of all bodies
// together, and of the bodies of each sender, is limited.
package publish
