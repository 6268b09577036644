package server

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveWithHandshakes starts a TLS server to which an openConnections is attached, and returns its address. A handshake
// for the server name "panic" panics.
func serveWithHandshakes(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	newOpenConnections(openLimits{}, nil, discardLog()).attach(s.Config)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "panic" {
			panic("no certificate")
		}
		return nil, nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Although a separate goroutine performs the handshake, HTTP/1.1 and HTTP/2 work, and a client that does not use TLS gets
// an answer from net/http. A panic during the handshake closes only the connection concerned.
func TestHandshakeInGoroutine(t *testing.T) {
	address := serveWithHandshakes(t)
	for range 20 {
		for proto, want := range map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"} {
			config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}}
			transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: proto == "h2"}
			response, err := (&http.Client{Transport: transport}).Get("https://" + address)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			response.Body.Close()
			transport.CloseIdleConnections()
			require.Equal(t, want, string(body))
		}
	}

	plain, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer plain.Close()
	require.NoError(t, plain.SetDeadline(time.Now().Add(3*time.Minute)))
	_, err = io.WriteString(plain, "GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(plain), nil)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusBadRequest, response.StatusCode)

	raw, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer raw.Close()
	require.NoError(t, raw.SetDeadline(time.Now().Add(3*time.Minute)))
	require.ErrorIs(t, tls.Client(raw, &tls.Config{InsecureSkipVerify: true, ServerName: "panic"}).Handshake(), io.EOF)
}
