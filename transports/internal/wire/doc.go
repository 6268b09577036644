// Package wire encodes and decodes the formats that the transports use. Encoders and decoders are
// tested with the same tables (testdata/wire).
//
// Outgoing events are encoded as an envelope, an SSE block or a WebSocket frame. Package
// connection keeps these bytes with the event, one for each Form, so an event is encoded at most
// once for each format, regardless of the number of subscribers. The bytes are ready for the
// socket: an SSE block is inside its HTTP/1.1 chunk, an envelope inside its WebSocket frame. For transports with another framing (long-poll, HTTP/2, HTTP/1.0), FramePayload
// and Unchunk return the content of a frame or a chunk without a copy. The package also encodes the
// control messages of docs/protocol.md#control-messages for SSE and for WebSocket.
//
// The package decodes the data of publishers (datagrams, request bodies, commands) and, for the
// client, the data from the hub (SSEDecoder, DecodeMessage, DecodePollAnswer).
//
// The package does no I/O except reading from the io.Reader of a decoder. It starts no goroutine
// and keeps no state except pools of buffers. Functions are safe for concurrent use; a decoder is
// not.
//
// The client for browsers contains this package, so it imports little: the hub and the standard
// library without net/http, net/url, mime and the reflection of encoding/json. Compression and
// signed datagrams are left out of the WebAssembly build.
package wire
