package websocket_test

import (
	"bytes"
	"compress/flate"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func offer(extensions string) http.Header {
	return http.Header{"Sec-Websocket-Extensions": {extensions}}
}

func TestDeflateNegotiation(t *testing.T) {
	const agreed = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
	on, off := tt.Start(t, tt.Config{Compression: true}), tt.Start(t, tt.Config{})
	for _, row := range []struct {
		server    *tt.Server
		offered   string
		extension string
	}{
		{on, "permessage-deflate", agreed},
		{on, "permessage-deflate; client_max_window_bits", agreed},
		{on, "x-other, permessage-deflate; server_no_context_takeover", agreed},
		{on, "permessage-deflate; server_max_window_bits=10, permessage-deflate", agreed},
		{on, "permessage-deflate; server_max_window_bits=10", ""},
		{on, "permessage-deflate; unknown", ""},
		{on, "permessage-deflate; client_max_window_bits=8", agreed},
		{on, `permessage-deflate; client_max_window_bits="10"; client_no_context_takeover`, agreed},
		{on, "permessage-deflate; server_max_window_bits=15", agreed + "; server_max_window_bits=15"},
		{on, "permessage-deflate; client_max_window_bits=16", ""},
		{on, "permessage-deflate; client_max_window_bits=7", ""},
		{on, "permessage-deflate; client_max_window_bits=08", ""},
		{on, "permessage-deflate; client_max_window_bits=", ""},
		{on, "permessage-deflate; client_max_window_bits; client_max_window_bits", ""},
		{on, "permessage-deflate; client_no_context_takeover; client_no_context_takeover", ""},
		{on, "permessage-deflate; client_no_context_takeover=1", ""},
		{on, "permessage-deflate; server_no_context_takeover=", ""},
		{on, "permessage-deflate; server_max_window_bits", ""},
		{on, "permessage-deflate; server_max_window_bits=015", ""},
		{on, "permessage-deflate; server_max_window_bits=16", ""},
		{on, "permessage-deflate; ", ""},
		{on, "permessage-deflate; client_max_window_bits=16, permessage-deflate; client_max_window_bits", agreed},
		{off, "permessage-deflate", ""},
	} {
		c, err := row.server.DialSocket(tt.Query(), offer(row.offered), nil)
		require.NoError(t, err)
		require.Equal(t, row.extension, c.Response.Header.Get("Sec-WebSocket-Extensions"), row.offered)
		c.Close()
	}
}

func deflate(t *testing.T, payload string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	require.NoError(t, err)
	_, err = w.Write([]byte(payload))
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff")))
}

func TestDeflate(t *testing.T) {
	s := tt.Start(t, tt.Config{Compression: true})
	c, err := s.DialSocket(tt.Query(), offer("permessage-deflate"), nil)
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, wire.OpHello, message(t, c).Op)
	for range 2 { // the second message must be compressed without the context of the first
		e := tt.JSON("t", `"`+of(2000)+`"`)
		s.Publish(t, e)
		f, err := c.Receive()
		require.NoError(t, err)
		require.EqualValues(t, tt.Fin|tt.Compressed|tt.TextFrame, f.First)
		require.Less(t, len(f.Payload), 300)
		envelope, err := tt.Inflate(f.Payload)
		require.NoError(t, err)
		require.Equal(t, string(wire.AppendEnvelope(nil, e)), string(envelope))
	}
	require.NoError(t, c.Send(text|tt.Compressed, deflate(t, pingCommand)))
	require.Equal(t, wire.OpAck, message(t, c).Op)
	require.NoError(t, c.SendText(pingCommand))
	require.Equal(t, wire.OpAck, message(t, c).Op)

	require.NoError(t, c.Send(text|tt.Compressed, deflate(t, of(20<<20))))
	requireClosed(t, c, 1009)
}
