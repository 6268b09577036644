package hostile

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// eraseAttacks send DELETE /events/{id} to the admin listener.
var eraseAttacks = []attack{
	{"erasing an event with a client's token, or from a page of another site in the operator's browser", erasingUninvited},
	{"erasing events with invalid or huge IDs, or with IDs of another log", erasingNothing},
	{"a flood of erasures", floodOfErasures},
}

// publishTo publishes an event and returns its ID.
func (f *testbed) publishTo(t *testing.T, p *hubtest.Process, topic, data string) string {
	t.Helper()
	x := f.do(t, request{hub: p, line: "POST /publish/" + topic, token: f.tokens["publisher"], body: data})
	require.Equal(t, http.StatusOK, x.status, x.body)
	return hubtest.IDOf(t, x.body)
}

// erasingUninvited requires that neither a client with a token nor a page of another site, in the
// operator's browser, can erase events.
func erasingUninvited(t *testing.T, f *testbed) {
	p := f.tenants(t)
	id := f.publishTo(t, p, "kept", `"kept"`)
	for _, name := range []string{"master", "publisher"} {
		for _, line := range []string{"DELETE /events/" + id, "DELETE /publish/kept", "DELETE /publish", "DELETE /poll?topic=kept", "POST /events/" + id} {
			x := f.do(t, request{hub: p, line: line, token: f.tokens[name]})
			require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, x.status, line)
		}
	}
	for _, r := range []request{
		{header: []string{"Origin: https://evil.test"}},
		{header: []string{"Origin: null"}},
		{header: []string{"Origin: https://app.example.com"}}, // allowed by --origin, which does not apply to the admin listener
		{header: []string{"Sec-Fetch-Site: cross-site"}},
		{header: []string{"Sec-Fetch-Site: same-site"}},
		{host: "evil.test"}, // a host name that resolves to the operator's machine
	} {
		r.hub, r.admin, r.line = p, true, "DELETE /events/"+id
		require.Contains(t, []int{http.StatusForbidden, http.StatusMisdirectedRequest}, f.do(t, r).status, "%v", r)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH"} {
		x := f.do(t, request{hub: p, admin: true, line: method + " /events/" + id, header: []string{"X-HTTP-Method-Override: DELETE"}})
		require.GreaterOrEqual(t, x.status, 400, method)
	}
	f.stillHas(t, p, id, 0)
}

// erasingNothing requires that a request with an invalid ID, or with an ID that no event in the log has,
// erases nothing and is answered with an error that names the reason.
func erasingNothing(t *testing.T, f *testbed) {
	p := f.tenants(t, "--engine", "embedded", "--store", t.TempDir())
	id := f.publishTo(t, p, "kept", `"kept"`)
	epoch, seq, _ := strings.Cut(id, "-")
	for _, row := range []struct {
		id     string
		status int
		detail string
	}{
		{"x", http.StatusBadRequest, `"parameter":"id"`},
		{seq, http.StatusBadRequest, `"parameter":"id"`},
		{epoch, http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "--1", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-+1", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-0x1", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-1e0", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-18446744073709551616", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-" + strings.Repeat("9", 4000), http.StatusBadRequest, `"parameter":"id"`},
		{strings.Repeat("0", 4000) + id, http.StatusBadRequest, `"parameter":"id"`},
		{id + "%00", http.StatusBadRequest, `"parameter":"id"`},
		{id + "%0d%0aX:%201", http.StatusBadRequest, `"parameter":"id"`},
		{"*", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-%3E", http.StatusBadRequest, `"parameter":"id"`},
		{epoch + "-0", http.StatusNotFound, "the log has no event with this ID"},
		{epoch + "-18446744073709551615", http.StatusNotFound, "the log has no event with this ID"},
		{epoch + "-9223372036854775808", http.StatusNotFound, "the log has no event with this ID"},
		{strings.Map(func(r rune) rune { return '0' + (r+1)%8 }, epoch) + "-" + seq, http.StatusNotFound, "the log has no event with this ID"},
	} {
		x := f.do(t, request{hub: p, admin: true, line: "DELETE /events/" + row.id})
		require.Equal(t, row.status, x.status, "%.100s: %.300s", row.id, x.body)
		require.Contains(t, x.body, row.detail, "%.100s", row.id)
		require.Less(t, len(x.body), 1000, "%.100s: the answer contains only the beginning of the ID", row.id)
	}
	for _, path := range []string{"/events", "/events/", "/events/" + id + "/" + id, "/events/..%2f" + id} {
		require.GreaterOrEqual(t, f.do(t, request{hub: p, admin: true, line: "DELETE " + path}).status, 400, path)
	}
	f.stillHas(t, p, id, 0)
}

// stillHas requires that the event with the ID is in the log, and that the hub has erased the given
// number of events.
func (f *testbed) stillHas(t *testing.T, p *hubtest.Process, id string, erased int) {
	t.Helper()
	answer := p.Poll("topic=kept&last=10&wait=0")
	require.Nil(t, answer.Gap)
	require.Len(t, answer.Events, 1)
	require.Equal(t, id, answer.Events[0].ID.String())
	require.EqualValues(t, erased, p.Stats().Events.Erased)
}

// floodOfErasures erases events as fast as possible, and requires that another tenant can publish and
// subscribe as before.
func floodOfErasures(t *testing.T, f *testbed) {
	for _, args := range [][]string{{"--engine", "memory"}, {"--engine", "embedded", "--store", t.TempDir()}} {
		p := f.tenants(t, args...)
		const events, scripts = 1000, 8
		lines := strings.Repeat(`{"topic":"flood","data":1}`+"\n", events)
		last := f.do(t, request{hub: p, line: "POST /publish", token: f.tokens["publisher"], header: []string{"Content-Type: application/x-ndjson"}, body: lines})
		require.Equal(t, http.StatusOK, last.status, last.body)
		epoch, _, _ := strings.Cut(hubtest.IDOf(t, last.body), "-")
		victim := f.start(t, request{hub: p, line: "GET /sse?topic=kept", token: f.tokens["reader"]})
		var erasing sync.WaitGroup
		for i := range scripts {
			erasing.Go(func() {
				for seq := 1 + i; seq <= events && !t.Failed(); seq += scripts {
					erase := request{hub: p, admin: true, line: fmt.Sprintf("DELETE /events/%s-%d", epoch, seq), header: []string{"Connection: close"}}
					x, tries := f.do(t, erase), 1
					for ; x.status == http.StatusServiceUnavailable; tries++ { // on a busy machine, the store may not answer for 5 s
						t.Logf("erasing %d: %s", seq, x.body)
						x = f.do(t, erase)
					}
					// An erasure that was answered with 503 may have succeeded.
					if x.status != http.StatusOK && (tries == 1 || x.status != http.StatusNotFound) {
						t.Errorf("erasing %d: %d %s", seq, x.status, x.body)
					}
				}
			})
		}
		var took []time.Duration
		for n := range 50 {
			begin := time.Now()
			want := f.publishTo(t, p, "kept", fmt.Sprint(n))
			for id := ""; id != want; {
				e, err := victim.stream.Next()
				require.NoError(t, err)
				require.NotEqual(t, "trivium.gap", e.Type)
				if e.Topic == "kept" {
					require.Equal(t, want, e.ID, "every event is delivered in order")
					id = e.ID
				}
			}
			took = append(took, time.Since(begin))
		}
		inTime(t, "publishing and delivery during a flood of erasures, "+args[1], slices.Max(took))
		erasing.Wait()
		require.EqualValues(t, events, p.Stats().Events.Erased)
		answer := p.Poll("topic=flood&wait=0&cursor=" + epoch + "-0")
		require.Nil(t, answer.Gap)
		require.Empty(t, answer.Events)
	}
}
