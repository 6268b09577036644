package wasmdemo

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// spoiled is an event stream through a proxy that drops, doubles or reorders events. The data of an
// event selects the fault.
type spoiled struct {
	io.Closer
	events *bufio.Scanner
	late   string
	ready  bytes.Buffer
}

func (s *spoiled) Read(p []byte) (int, error) {
	for s.ready.Len() == 0 {
		if !s.events.Scan() {
			return 0, io.EOF
		}
		switch event := s.events.Text() + "\n\n"; {
		case strings.Contains(event, `"lost"`):
		case strings.Contains(event, `"doubled"`):
			s.ready.WriteString(event + event)
		case strings.Contains(event, `"late"`):
			s.late = event
		default:
			s.ready.WriteString(event + s.late)
			s.late = ""
		}
	}
	return s.ready.Read(p)
}

// splitEvents splits a stream at blank lines.
func splitEvents(data []byte, _ bool) (advance int, token []byte, err error) {
	if end := bytes.Index(data, []byte("\n\n")); end >= 0 {
		return end + 2, data[:end], nil
	}
	return 0, nil, nil
}

// TestFaultOfOneTransportIsFound checks that the banner turns red and shows the right counts if
// events are lost, doubled or reordered on one transport.
func TestFaultOfOneTransportIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	browser := startBrowser(t)
	hub := startHub(t)
	token := hub.token("person")
	target, err := url.Parse(hub.URL)
	require.NoError(t, err)
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0), // pages close their connections when they end, which need not be logged
		ModifyResponse: func(r *http.Response) error {
			if strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
				events := bufio.NewScanner(r.Body)
				events.Split(splitEvents)
				r.Body = &spoiled{Closer: r.Body, events: events}
			}
			return nil
		},
	})
	t.Cleanup(between.Close)
	p := &page{tab: openTab(t, browser, between.URL+"/demo/#token="+token)}
	p.allLive()
	p.flows(1)
	p.unload()
	p.settled()
	p.click("#start-over") // from now on, the page compares only the events that the test publishes
	p.await(compared + " === 0")
	p.allLive()

	publish := func(data string) {
		r, err := http.NewRequest(http.MethodPost, hub.URL+"/publish/demo", strings.NewReader(`"`+data+`"`))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	publish("good")
	p.reaches(1)
	for _, c := range []struct{ data, counts string }{
		{"lost", "3 compared · lost 1 · doubled 0 · out of order 0"},
		{"doubled", "5 compared · lost 1 · doubled 1 · out of order 0"},
		{"late", "7 compared · lost 1 · doubled 1 · out of order 1"},
	} {
		publish(c.data)
		publish("good")
		p.contains("#proof-counts", c.counts)
		p.contains("#proof-headline", "Not the same events in the same order: see column 2.")
		p.level("bad")
		p.mode(2, "faulty")
	}
	p.contains("#proof-detail", "column 2 lost 1 · column 2 doubled 1 · column 2 got out of order 1")
	p.click("#start-over")
	p.contains("#proof-counts", "lost 0 · doubled 0 · out of order 0")
	p.allLive()
	publish("good")
	p.reaches(1)
	http.DefaultClient.CloseIdleConnections()
}
