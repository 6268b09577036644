// Package publish accepts events over HTTP (docs/protocol.md#publishing-over-http): one envelope,
// an array of them, a stream of lines, or a body or lines whose topic is in the path. A body may be
// compressed with gzip. It is decompressed as it is read, and limits apply to the decompressed
// size.
//
//	publisher, err := publish.New(publish.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { transports.WriteProblem(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/publish", auth.New(auth.Config{Verifier: tokens}).Wrap(refuse)(http.HandlerFunc(publisher.ServeEnvelopes)))
//
// A handler takes the rights of a request from the middleware of package auth; without a middleware it refuses all
// requests.
//
// The goroutine that serves a request also reads, authorizes and publishes its events. Events that
// have arrived completely are published even if the client disconnects, since an idempotency key
// must not be forgotten because of that. The engine bounds how long publishing takes.
//
// A stream of lines publishes every complete line before it waits for more input. If publishing is
// slow, as on disk or in a cluster, a second goroutine publishes while the first reads on. Lines
// that are read during one publish go together into the next, so that many small events need few
// publishes. The first goroutine waits for the second at the end. Whatever its length, a stream
// uses the memory of one line and two such batches. It ends when its token ends. Other bodies are
// authorized once they have arrived. The memory of all bodies together and of each sender is
// bounded.
package publish
