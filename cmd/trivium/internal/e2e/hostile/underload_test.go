package hostile

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// endUnderLoad opens connections with a token and publishes events to them. Then it calls end, which
// ends the token's rights and returns the time at which they ended. It requires that the hub closes
// all connections of the token within the promised time.
func (f *testbed) endUnderLoad(t *testing.T, name, token string, status int, end func() time.Time) {
	under := f.underLoad(t, name, token, time.Now().Add(24*time.Hour))
	under.end(t, status, end())
}

// tokenLoad is a token with subscribers on every transport, and the publishers whose events they receive.
type tokenLoad struct {
	*testbed
	token            string
	busy             *load                   // publishes with another token
	publishing, idle *load                   // publish with the token; idle has stopped in the middle of an event
	wait             func() []*subscriberLog // waits until all subscribers are disconnected
}

// loadedAfter is the number of events after which a publisher or subscriber counts as running.
const loadedAfter = 100

// underLoad opens connections of every kind with a token, and waits until events have been published
// and received on them. It returns nil if the token expires before that.
func (f *testbed) underLoad(t *testing.T, name, token string, expires time.Time) *tokenLoad {
	topic := "load." + name
	u := &tokenLoad{testbed: f, token: token, busy: f.load(t, f.tokens["master"], topic)}
	subscribers, wait := f.subscribeAll(t, token, topic, expires)
	u.wait, u.publishing = wait, f.load(t, token, topic+".own")
	u.idle = f.publishPartly(t, token, breachIn("load."+name+".half"))
	isExpired := func() bool { return time.Now().After(expires) }
	for _, h := range subscribers {
		require.Eventually(t, func() bool { return h.count.Load() > loadedAfter || isExpired() }, hubtest.Patience, time.Millisecond, h.where)
	}
	require.Eventually(t, func() bool { return u.publishing.sent.Load() > loadedAfter || isExpired() }, hubtest.Patience, time.Millisecond)
	if isExpired() {
		wait()
		u.busy.stop(t)
		return nil
	}
	return u
}

// end requires that the hub refuses the token with the status, and that it closes all connections of the
// token within the promised time. The parameter ended is the time at which the token's rights ended.
func (f *tokenLoad) end(t *testing.T, status int, ended time.Time) {
	const under = loadedAfter
	token, busy, idle := f.token, f.busy, f.idle
	answered, body := f.publishing.answer(t)
	require.Equal(t, status, answered, body)
	inTime(t, "to end a stream of events", time.Since(ended))
	require.Contains(t, body, `"accepted":`)
	for _, h := range f.wait() {
		require.Equal(t, status, h.status, h.where)
		if h.code != 0 || strings.HasPrefix(h.where, "GET /ws") {
			require.Equal(t, 4000+status, h.code, h.where)
		}
		inTime(t, "to close "+h.where, h.closed.Sub(ended))
		require.Zero(t, h.after, h.where)
		require.Greater(t, len(h.numbers), under, h.where)
		for i, n := range h.numbers {
			require.Equal(t, h.numbers[0]+i, n, "%s: each event is delivered once", h.where)
		}
		f.requireRefusedAt(t, strings.Replace(h.where, "/poll?", "/poll?wait=0&", 1), status, token)
	}
	if status == http.StatusUnauthorized { // with any other status, the pending line may be published
		answered, body = idle.answer(t)
		require.Equal(t, status, answered, body)
	}
	f.requireRefusedAt(t, "POST /publish", status, token)
	before := busy.sent.Load()
	require.Eventually(t, func() bool { return busy.sent.Load() > before+under }, hubtest.Patience, time.Millisecond, "publishing with another token continues")
	require.Greater(t, busy.stop(t), 2*under)
}

// publishPartly starts a publish request that contains one event, and sends all of the event except
// its last byte.
func (f *testbed) publishPartly(t *testing.T, token, line string) *load {
	x := f.send(t, f.main.HTTP, "")
	_, err := fmt.Fprintf(x.conn, "POST /publish HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", f.main.HTTP, token, len(line)-1, line[:len(line)-1])
	require.NoError(t, err)
	return &load{conn: x.conn, reader: x.reader}
}
