package hubs

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// dataAfter calls the parameter next repeatedly, until it returns an event whose data equals the parameter
// last. It returns the data of all events. Each call of next reads one message; it returns the data of this
// message, and whether the message is an event.
func dataAfter(t *testing.T, last string, next func() (data string, isEvent bool)) (all []string) {
	t.Helper()
	for len(all) == 0 || all[len(all)-1] != last {
		if data, isEvent := next(); isEvent {
			all = append(all, data)
		}
	}
	return all
}

// An event that was erased through the admin listener is not delivered over any transport, and causes
// no gap. The main listener cannot erase events. The error for an event that is not in the log states
// the reason.
func TestErase(t *testing.T) {
	for _, engine := range []string{settings.EngineMemory, settings.EngineEmbedded} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			args := append(hubtest.AnyPorts, "--auth", "none", "--engine", engine)
			if engine == settings.EngineEmbedded {
				args = append(args, "--store", t.TempDir())
			}
			p := hubtest.Start(t, hubtest.Binary(t, args...))
			var ids []string
			for i := range 5 {
				ids = append(ids, hubtest.IDOf(t, p.Publish("application/json", fmt.Sprintf(`{"topic":"a","data":"secret %d"}`, i))))
			}
			erase := func(id string, header ...string) (int, string) {
				r, err := http.NewRequest(http.MethodDelete, "http://"+p.Admin+"/events/"+id, nil)
				require.NoError(t, err)
				if len(header) > 0 {
					r.Header.Set(header[0], header[1])
					if header[0] == "Host" {
						r.Host = header[1]
					}
				}
				response, err := p.Client.Do(r)
				require.NoError(t, err)
				defer response.Body.Close()
				text := make([]byte, 1024)
				n, _ := response.Body.Read(text)
				return response.StatusCode, string(text[:n])
			}
			for _, header := range [][]string{{"Origin", "https://evil.test"}, {"Host", "evil.test"}, {"Sec-Fetch-Site", "cross-site"}} {
				status, text := erase(ids[1], header...)
				require.Contains(t, []int{http.StatusForbidden, http.StatusMisdirectedRequest}, status, text)
			}
			status, _ := p.Request(http.MethodDelete, "http://"+p.HTTP+"/events/"+ids[1], "", "")
			require.Equal(t, http.StatusNotFound, status, "the main listener has no route to erase events")
			status, _ = p.Request(http.MethodGet, "http://"+p.Admin+"/events/"+ids[1], "", "")
			require.Equal(t, http.StatusMethodNotAllowed, status)
			require.Len(t, p.Poll("wait=0&last=10").Events, 5)

			status, text := erase(ids[1])
			require.Equal(t, http.StatusOK, status)
			require.JSONEq(t, `{"erased":true}`, text)
			status, text = erase(ids[1])
			require.Equal(t, http.StatusNotFound, status)
			require.Contains(t, text, "the log has no event with this ID")
			status, text = erase("1f0c9a77-42")
			require.Equal(t, http.StatusNotFound, status, text)
			status, text = erase("x")
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, text, `"parameter":"id"`)
			out, err := hubtest.Binary(t, "erase", "--admin-url", "http://"+p.Admin, ids[3]).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, ids[3]+": erased\n", string(out))
			out, err = hubtest.Binary(t, "erase", "--admin-url", "http://"+p.Admin, ids[3]).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "the log has no event with this ID")
			out, err = hubtest.Binary(t, "erase", "x").CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "8 lower-case hexadecimal digits")
			require.EqualValues(t, 2, p.Stats().Events.Erased)
			p.HasLogged(`"msg":"event erased","id":"` + ids[1])
			require.NotContains(t, p.Log(), "secret")

			requireNoneOf(t, p, ids)
		})
	}
}

// requireNoneOf resumes after each of the first four events, over all transports, and requires that the
// erased events do not arrive. The parameter ids contains the IDs of five events. The events with the IDs
// ids[1] and ids[3] are erased.
func requireNoneOf(t *testing.T, p *hubtest.Process, ids []string) {
	for i, want := range [][]string{{`"secret 2"`, `"secret 4"`}, {`"secret 2"`, `"secret 4"`}, {`"secret 4"`}, {`"secret 4"`}} {
		query := "topic=a&cursor=" + ids[i]
		stream := p.SSE(query)
		require.Equal(t, want, dataAfter(t, `"secret 4"`, func() (string, bool) {
			e, err := stream.Next()
			require.NoError(t, err)
			require.NotEqual(t, "trivium.gap", e.Type)
			return e.Data, e.Topic != ""
		}), "events over SSE after event %d", i)
		conn := p.WebSocket(query)
		require.Equal(t, want, dataAfter(t, `"secret 4"`, func() (string, bool) {
			m := p.Message(conn)
			require.NotEqual(t, decode.OpGap, m.Op)
			if m.Event == nil {
				return "", false
			}
			return string(m.Event.Data), true
		}), "events over WebSocket after event %d", i)
		require.NoError(t, conn.CloseNow())
		answer := p.Poll(query + "&wait=0")
		require.Nil(t, answer.Gap)
		var got []string
		for _, e := range answer.Events {
			got = append(got, string(e.Data))
		}
		require.Equal(t, want, got, "events over long-poll after event %d", i)
	}
}
