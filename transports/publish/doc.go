// Package publish takes events in over HTTP (PROTOCOL section 2): one envelope or an array of
// them, a stream of lines, or a body whose topic is in the path.
//
// A [Handler] starts no goroutine: a request is read, judged and published by the goroutine that
// serves it. What has come whole is published even if its client does not wait for the answer,
// since an idempotency key must not be forgotten for that; it is the engine that bounds how long
// publishing takes. A stream of lines takes memory for one line and for the events of one read of
// the connection, however long it is, and holds no complete line back while it waits for more. It ends
// when its token does; other bodies are judged by what the token grants once they are there. What all
// of them hold together is bounded.
package publish
