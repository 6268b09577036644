package hostile

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// pollAttacks concern connections of long-poll clients. While such a connection waits for an event or for the next
// request, no goroutine of the hub serves it.
var pollAttacks = []attack{
	{"more connections that are kept open after a poll than the limit of open files allows", keptPolls},
	{"300 waiting polls whose clients do not read the responses", unreadPolls},
	{"polls on 100 kept-alive connections with JWTs of unknown keys, while the server of --jwks-url does not respond", keylessPolls},
}

// pollClient is a connection on which polls are sent.
type pollClient struct {
	net.Conn
	p      *hubtest.Process
	token  string
	reader *bufio.Reader
	last   *lastAnswer
}

// lastAnswer caches the most recently decoded answer. Several clients share it, so that a large answer that all of them
// receive is decoded only once.
type lastAnswer struct {
	mu     sync.Mutex
	body   []byte
	answer decode.PollAnswer
}

func (l *lastAnswer) decode(body []byte) (answer decode.PollAnswer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Equal(body, l.body) {
		if answer, err = decode.DecodePollAnswer(body); err != nil {
			return answer, err
		}
		l.body, l.answer = body, answer
	}
	return l.answer, nil
}

func dialPoll(t *testing.T, p *hubtest.Process, token, source string) *pollClient {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: hubtest.Patience}
	conn, err := dialer.Dial("tcp", p.HTTP)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*hubtest.Patience)))
	return &pollClient{conn, p, token, bufio.NewReaderSize(conn, 64<<10), new(lastAnswer)}
}

// ask sends a poll.
func (c *pollClient) ask(query string) error {
	r := request{line: "GET /poll?" + query, host: c.p.HTTP, token: c.token}
	_, err := io.WriteString(c, r.text())
	return err
}

// answer reads the response to a poll. It returns the status and, if this is 200, the decoded body.
func (c *pollClient) answer() (status int, answer decode.PollAnswer, err error) {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, answer, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return response.StatusCode, answer, err
	}
	answer, err = c.last.decode(body)
	return response.StatusCode, answer, err
}

// events polls from a position until an answer contains events, and returns this answer. If the parameter
// asked is true, the caller has already sent the first poll.
func (c *pollClient) events(asked bool, query, cursor string) (answer decode.PollAnswer, err error) {
	answer.Cursor = cursor
	for len(answer.Events) == 0 {
		if !asked {
			if err := c.ask(query + "&cursor=" + answer.Cursor); err != nil {
				return answer, err
			}
		}
		status, next, err := c.answer()
		if err != nil || status != http.StatusOK {
			return next, fmt.Errorf("status %d, %w", status, err)
		}
		answer, asked = next, false
	}
	return answer, nil
}

// waitForPolls blocks until the hub has accepted n polls since its start.
func waitForPolls(t *testing.T, p *hubtest.Process, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return int(p.Stats().Transports["longpoll"].Opened) >= n }, hubtest.Patience, 10*time.Millisecond)
}

// keptPolls opens connections one after the other and keeps them open. On each, it sends a poll that
// waits until an event is published. It requires that other clients are served.
func keptPolls(t *testing.T, _ *testbed) {
	p := hubtest.LimitFiles(t, hubtest.Start, 300, hubtest.Binary(t, hubtest.AnyPorts...))
	for i := range 400 {
		c := dialPoll(t, p, p.Token, fmt.Sprintf("127.0.5.%d", 1+i%200))
		answered := make(chan error, 1)
		if err := c.ask("wait=50&topic=kept"); err != nil {
			continue // the hub has refused the connection
		}
		go func() {
			_, _, err := c.answer()
			answered <- err
		}()
		for waits := true; waits; {
			select {
			case <-answered:
				waits = false
			case <-time.After(5 * time.Millisecond):
				p.Publish("application/json", `{"topic":"kept","data":1}`)
			}
		}
	}
	stillServes(t, p)
	require.NotContains(t, p.Log(), "too many open files")
}

// unreadPolls starts many polls that wait for an event, and publishes an event that is larger than the socket buffers. It
// measures the hub's memory before the clients read the answers, and requires that each client receives the whole event.
func unreadPolls(t *testing.T, f *testbed) {
	const polls, query = 300, "wait=50&topic=slow.large"
	c := f.newSlowClients(t, "--write-timeout", "10m")
	var slow []*pollClient
	last := new(lastAnswer)
	for range polls {
		client := dialPoll(t, c.p, f.tokens["one"], "127.0.0.1")
		client.last = last
		require.NoError(t, client.ask(query))
		slow = append(slow, client)
	}
	for round := range 2 {
		waitForPolls(t, c.p, polls*(round+1))
		c.publish(t, "slow.large", large(round))
		want := []byte(quoted(large(round)))
		grown := c.measureGrowth(t)
		t.Logf("%d polls: %d MiB", polls, grown>>20)
		require.Less(t, grown, int64(40*hubtest.Mebibyte))
		require.Empty(t, parallel(polls, func(i int) error {
			answer, err := slow[i].events(true, query, "")
			if err != nil {
				return err
			}
			if len(answer.Events) != 1 || !bytes.Equal(answer.Events[0].Data, want) {
				return fmt.Errorf("%d events, which differ from the published one", len(answer.Events))
			}
			return slow[i].ask(query + "&cursor=" + answer.Cursor)
		}), "every client receives the whole event")
	}
}

// silentIssuer serves its keys once. Later requests get no response.
type silentIssuer struct {
	url     string
	fetches atomic.Int64
}

func newSilentIssuer(t *testing.T, key *rsa.PrivateKey) *silentIssuer {
	s := new(silentIssuer)
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.fetches.Add(1) == 1 {
			fmt.Fprintf(w, `{"keys":[%s]}`, rsaJWK("old", key))
			return
		}
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(ended) })
	s.url = server.URL
	return s
}

// keylessPolls opens connections and sends a poll on each, which waits for an event. After the event, it
// sends a second poll on each, with a token whose key the hub does not know. While the hub waits for the
// keys, it must serve another client.
func keylessPolls(t *testing.T, f *testbed) {
	source := newSilentIssuer(t, f.rsa)
	p := hubtest.Start(t, hubtest.Program(t, []string{"TRIVIUM_JWKS_URL=" + source.url},
		slices.Concat(hubtest.AnyPorts, []string{"--jwt-issuer", issuerName, "--tokens", f.quietFile})...))
	p.Token = f.tokens["master"]
	other := dialPoll(t, p, f.tokens["two"], "127.0.0.1")
	var hostile []*pollClient
	for range 100 {
		c := dialPoll(t, p, f.tokens["one"], "127.0.0.1")
		require.NoError(t, c.ask("wait=50&topic=keys"))
		hostile = append(hostile, c)
	}
	waitForPolls(t, p, len(hostile))
	p.Publish("application/json", `{"topic":"keys","data":1}`)
	unknown := func(i int) string {
		return f.sign([]byte("no RSA at all"), fmt.Sprintf(`{"alg":"RS256","kid":"silent-%d"}`, i), claims(nil))
	}
	first := dialPoll(t, p, unknown(-1), "127.0.0.1")
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { // the hub fetches the keys again after six seconds at the earliest, and until then refuses unknown keys immediately
		for source.fetches.Load() < 2 && first.ask("wait=0") == nil {
			if _, _, err := first.answer(); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	require.Eventually(t, func() bool { return source.fetches.Load() > 1 }, hubtest.Patience, 10*time.Millisecond)
	for i, c := range hostile {
		status, _, err := c.answer()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		c.token = unknown(i)
		require.NoError(t, c.ask("wait=50&topic=keys"))
	}
	begin := time.Now()
	for i := range 20 {
		opened := int(p.Stats().Transports["longpoll"].Opened)
		require.NoError(t, other.ask("wait=50&topic=other"))
		waitForPolls(t, p, opened+1)
		p.Publish("application/json", fmt.Sprintf(`{"topic":"other","data":%d}`, i))
		answer, err := other.events(true, "wait=50&topic=other", "")
		require.NoError(t, err)
		require.Len(t, answer.Events, 1)
		require.Equal(t, fmt.Sprint(i), string(answer.Events[0].Data))
	}
	t.Logf("20 polls of another client took %v", time.Since(begin).Round(time.Millisecond))
	for _, c := range hostile {
		status, _, err := c.answer()
		require.NoError(t, err)
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusServiceUnavailable}, status)
	}
}
