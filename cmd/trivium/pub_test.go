package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/transports/problems"
	"github.com/trivium-hub/trivium/transports/udp"
)

// pub runs the command pub in this process, with a timeout that expires only if the tested code is wrong.
func pub(in string, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"pub", "--timeout", hubtest.Patience.String()}, args...), &console{In: strings.NewReader(in), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestPubHTTP(t *testing.T) {
	t.Setenv("TRIVIUM_TOKEN", "from-env")
	t.Setenv("TRIVIUM_UDP_SECRET_FILE", "no such file") // read only with --udp
	tests := []struct {
		name    string
		in      string
		args    []string
		request string // the request that the hub must receive
		status  int
		header  http.Header
		answer  string
		code    int
		out     string
		errs    string
	}{
		{
			name: "one event", args: []string{"orders.new", `{"a": 1}`},
			request: "POST /publish/orders.new\nAuthorization: Bearer from-env\n\n{\"a\": 1}",
			status:  200, answer: `{"id":"0000000a-7","count":1}`, out: "0000000a-7\n",
		},
		{
			name: "all flags", args: []string{"--type", "né", "--key", "k", "--token", "T", "--text", "a/b?c", "--", "-5"},
			request: "POST /publish/a%2Fb%3Fc\nAuthorization: Bearer T\nContent-Type: text/plain; charset=utf-8\n" +
				"Trivium-Key: k\nTrivium-Type: né\n\n-5",
			status: 200, answer: `{"id":"0000000a-8","count":1}`, out: "0000000a-8\n",
		},
		{
			name: "lines of standard input", in: "{\"a\": 1}\r\n\n  \nnot json\n3", args: []string{"--type", "t", "topic"},
			request: "POST /publish\nAuthorization: Bearer from-env\nContent-Type: application/x-ndjson\n\n" +
				`{"topic":"topic","type":"t","data":{"a": 1}}` + "\n" +
				`{"topic":"topic","type":"t","text":true,"data":"not json"}` + "\n" +
				`{"topic":"topic","type":"t","data":3}` + "\n",
			status: 200, answer: `{"id":"0000000a-9","count":3}`, out: "3 events, last id 0000000a-9\n",
		},
		{name: "only blank lines", in: "\n", args: []string{"topic", "-"}, out: "0 events\n"},
		{
			name: "refused event", args: []string{"topic", "x"},
			request: "POST /publish/topic\nAuthorization: Bearer from-env\n\nx",
			status:  403, header: http.Header{"Content-Type": {"application/problem+json"}},
			answer: `{"title":"Forbidden","detail":"no right to publish","parameter":"topic"}`, code: 1,
			errs: "trivium: the hub answered 403 Forbidden: no right to publish (parameter topic)\n",
		},
		{
			name: "refused line", in: "1\n2\n", args: []string{"topic", "-"},
			request: "POST /publish\nAuthorization: Bearer from-env\nContent-Type: application/x-ndjson\n\n" +
				`{"topic":"topic","data":1}` + "\n" + `{"topic":"topic","data":2}` + "\n",
			status: 413, header: http.Header{"Content-Type": {"application/problem+json; charset=utf-8"}},
			answer: `{"title":"Too large","line":2,"accepted":1}`, code: 1,
			errs: "trivium: event 2 of the input: the hub answered 413 Too large\n",
		},
		{
			name: "hub unavailable", args: []string{"topic", "x"},
			request: "POST /publish/topic\nAuthorization: Bearer from-env\n\nx",
			status:  503, header: http.Header{"Retry-After": {"3"}}, answer: "<html>", code: 1,
			errs: "trivium: the hub answered 503 Service Unavailable; try again after 3 s\n",
		},
		{
			name: "redirect", args: []string{"topic", "x"},
			request: "POST /publish/topic\nAuthorization: Bearer from-env\n\nx",
			status:  302, header: http.Header{"Location": {"/elsewhere"}}, code: 1,
			errs: "trivium: the hub answered 302 Found\n",
		},
		{
			name: "answer of another server", args: []string{"topic", "x"},
			request: "POST /publish/topic\nAuthorization: Bearer from-env\n\nx",
			status:  200, answer: "<html>", code: 1, errs: "trivium: unexpected answer from URL: not a Trivium hub?\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var request string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				request = formatRequest(r)
				for name, values := range tt.header {
					w.Header()[name] = values
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.answer)
			}))
			defer server.Close()
			code, out, errs := pub(tt.in, append([]string{"--url", server.URL}, tt.args...)...)
			require.Equal(t, tt.request, request)
			require.Equal(t, tt.out, out)
			require.Equal(t, tt.errs, strings.ReplaceAll(errs, server.URL, "URL"))
			require.Equal(t, tt.code, code)
		})
	}
}

// formatRequest returns the parts of a request that the tests compare as one string.
func formatRequest(r *http.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL.RequestURI())
	for _, name := range []string{"Authorization", "Content-Type", "Trivium-Key", "Trivium-Type"} {
		if value := r.Header.Get(name); value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return b.String() + "\n" + string(body)
}

func TestPubUDP(t *testing.T) {
	source, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	receive := func() string {
		buf := make([]byte, 1<<16)
		require.NoError(t, source.SetReadDeadline(time.Now().Add(hubtest.Patience)))
		n, _, err := source.ReadFrom(buf)
		require.NoError(t, err)
		return string(buf[:n])
	}
	to := []string{"--udp", source.LocalAddr().String(), "--key", "k"}

	code, out, errs := pub("", append(to, "topic", "{\n}")...)
	require.Equal(t, []any{0, "", ""}, []any{code, out, errs})
	require.Equal(t, "{\"topic\":\"topic\",\"key\":\"k\",\"data\":{\n}}", receive())

	code, out, errs = pub("1\n\xff\n", append(to, "topic")...)
	require.Equal(t, []any{0, "2 events sent by UDP, without confirmation\n", ""}, []any{code, out, errs})
	require.Equal(t, `{"topic":"topic","key":"k","data":1}`, receive())
	require.Equal(t, `{"topic":"topic","key":"k","data_base64":"/w=="}`, receive())

	code, out, errs = pub("", append(to, "topic", strings.Repeat("x", 1<<16))...)
	require.Equal(t, []any{1, ""}, []any{code, out})
	require.Contains(t, errs, "message too long")
}

func TestPubSignsDatagrams(t *testing.T) {
	source, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	secret := []byte(" two\nlines\xff")
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, append(secret, " \t\r\n\n"...), 0o600))
	began := time.Now().Round(0)
	last := began
	receive := func() string {
		buf := make([]byte, 1<<16)
		require.NoError(t, source.SetReadDeadline(time.Now().Add(hubtest.Patience)))
		n, _, err := source.ReadFrom(buf)
		require.NoError(t, err)
		at, payload, err := udp.Verify(secret, buf[:n])
		require.NoError(t, err)
		require.True(t, at.After(last), "the times of datagrams increase")
		last = at
		return string(payload)
	}
	code, out, errs := pub("", "--udp", source.LocalAddr().String(), "--udp-secret-file", path, "topic", "{\n}")
	require.Equal(t, []any{0, "", ""}, []any{code, out, errs})
	require.Equal(t, "{\"topic\":\"topic\",\"data\":{\n}}", receive())

	t.Setenv("TRIVIUM_UDP_SECRET_FILE", path)
	code, out, errs = pub(strings.Repeat("1\n", 50), "--udp", source.LocalAddr().String(), "topic")
	require.Equal(t, []any{0, "50 events sent by UDP, without confirmation\n", ""}, []any{code, out, errs})
	for range 50 {
		require.Equal(t, `{"topic":"topic","data":1}`, receive())
	}
	require.WithinRange(t, last, began, time.Now())
}

// The times in signatures increase even if the clock stops or is set back, because the hub could refuse
// a datagram with the time of an earlier one as a replay.
func TestSignatureTimeIncreases(t *testing.T) {
	ours, theirs := net.Pipe()
	ahead := time.Now().Add(time.Hour).UnixNano()
	s := &udpSender{conn: ours, secret: []byte("k"), last: ahead}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer s.close()
	sending.Go(func() {
		for s.send([]byte("x")) == nil { // until the socket is closed at the end of the test
		}
	})
	for i := range int64(2) {
		buf := make([]byte, 1<<10)
		n, err := theirs.Read(buf)
		require.NoError(t, err)
		at, _, err := udp.Verify(s.secret, buf[:n])
		require.NoError(t, err)
		require.Equal(t, ahead+1+i, at.UnixNano())
	}
}

// TestEnvelopeRoundTrip checks, for random data, that envelope returns one JSON value that decodes to the same data.
func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(rapid.OneOf(
			rapid.String(), rapid.StringMatching(` ?[0-9]{1,20} `), rapid.StringMatching(`\[ "[<>&a-z\x{2028}]*" \]`),
			rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
		).Draw(t, "data"))
		c := &PubCmd{Topic: "a.<b>\"", Type: "t", Text: rapid.Bool().Draw(t, "text")}
		var got struct {
			Topic, Type string
			Text        bool
			Data        json.RawMessage
			Base64      []byte `json:"data_base64"`
		}
		require.NoError(t, json.Unmarshal(c.envelope(data), &got))
		require.Equal(t, []string{c.Topic, c.Type}, []string{got.Topic, got.Type})
		switch {
		case !utf8.Valid(data):
			require.Equal(t, data, got.Base64)
		case got.Text:
			var text string
			require.NoError(t, json.Unmarshal(got.Data, &text))
			require.Equal(t, string(data), text)
			require.True(t, c.Text || !json.Valid(data))
		default:
			require.False(t, c.Text)
			require.Equal(t, strings.Trim(string(data), " \t\r\n"), string(got.Data))
		}
	})
}

// If the input pauses, publishLines ends its request, so that the hub confirms the lines. The next line
// starts another request. Line numbers in errors are counted from the beginning of the input.
func TestPublishLinesConfirmsAfterPause(t *testing.T) {
	line := 1
	refused := &problem{Problem: problems.Problem{Status: 400, Line: &line}}
	broken := errors.New("connection reset")
	tests := []struct {
		name   string
		last   error // error of the third request; nil: it succeeds
		count  int
		reason string
	}{
		{"all lines accepted", nil, 5, ""},
		{"line refused", refused, 3, "event 4 of the input: the hub answered 400 Bad Request"},
		{"connection lost", broken, 3, "after 3 events: connection reset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, source := io.Pipe()
				var writer sync.WaitGroup
				defer writer.Wait()
				writer.Go(func() {
					for _, text := range []string{"1\n2\n", "3\n", "4\n5\n"} {
						_, _ = io.WriteString(source, text)
						time.Sleep(2 * pubLinger)
					}
					_ = source.Close()
				})
				var requests []string
				done, err := publishLines(in, bytes.Clone, func(body io.Reader) (published, error) {
					if len(requests) == 2 && tt.last != nil {
						return published{}, tt.last // returns before it has read the whole body
					}
					data, err := io.ReadAll(body)
					requests = append(requests, string(data))
					return published{ID: fmt.Sprint(len(requests)), Count: bytes.Count(data, []byte("\n"))}, err
				})
				require.Equal(t, tt.count, done.Count)
				if tt.reason != "" {
					require.EqualError(t, err, tt.reason)
					_ = in.CloseWithError(os.ErrClosed) // stands for the end of the process, which also ends the blocked Read
					return
				}
				require.NoError(t, err)
				require.Equal(t, "3", done.ID)
				require.Equal(t, []string{"1\n2\n", "3\n", "4\n5\n"}, requests)
			})
		})
	}
}

// TestPubNamesTheSecretFile checks that the error for an invalid secret names the flag and the file.
func TestPubNamesTheSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(" \n"), 0o600))
	code, out, errs := pub("", "--udp", "127.0.0.1:9", "--udp-secret-file", path, "topic", "x")
	require.Equal(t, []any{exitUsage, "", "trivium: --udp-secret-file: want a secret, " + path + " contains none\n"}, []any{code, out, errs})
}
