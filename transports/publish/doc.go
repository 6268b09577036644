// Package publish takes events in over HTTP (docs/protocol.md#publishing-over-http): one envelope or an array of
// them, a stream of lines, or a body or lines whose topic is in the path. A body may be compressed by
// gzip; it is decompressed as it is read, and limits count what it expands to.
//
// A request is read, judged and published by the goroutine that serves it. What has come whole is
// published even if its client does not wait for the answer, since an idempotency key must not be
// forgotten for that; it is the engine that bounds how long publishing takes.
//
// A stream of lines holds no complete line back while it waits for more. Where a publish takes a
// while, as on disk or in a cluster, a second goroutine does it, for which the first waits at the
// end; what is read meanwhile goes together in the next publish, so that many small events cost few
// of them. It takes memory for one line and for two such batches, however long it is. It ends
// when its token does; other bodies are judged by what the token grants once they are there. What all
// of them hold together, and each sender of them, is bounded by an intake.Budget.
package publish
