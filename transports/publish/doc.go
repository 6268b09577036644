// Package publish accepts events over HTTP (docs/protocol.md#publishing-over-http). The body of POST
// /publish contains one envelope, an array of envelopes, or a stream of envelopes, one per line. The
// body of POST /publish/{topic} contains the data of one event, or a stream of data, one event per
// line. A body may be compressed with gzip; the hub decompresses it while reading, and size limits
// apply to the decompressed body.
//
//	publisher, err := publish.New(publish.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { transports.WriteProblem(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/publish", auth.New(auth.Config{Verifier: tokens}).Wrap(refuse)(http.HandlerFunc(publisher.ServeEnvelopes)))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler
// refuses all requests.
//
// The goroutine that serves a request also reads, authorizes and publishes its events. Events that have
// arrived completely are published even if the client disconnects, because a disconnect must not
// release an idempotency key. The engine limits the duration of a publish.
//
// In a stream of lines, every complete line is published before the hub waits for more input. If
// publishing is slow, for example on disk or in a cluster, a second goroutine publishes while the first
// continues to read. Lines that arrive during one publish are published together by the next publish,
// so that many small events need few publishes. At the end of the stream, the first goroutine waits for
// the second. A stream of any length uses the memory of one line, of the lines that wait, and of the
// lines that are being published. A stream ends when its token ends. Any other body is authorized when
// it has arrived completely. Package intake limits the memory of all bodies together, and of the bodies
// of each sender.
package publish
