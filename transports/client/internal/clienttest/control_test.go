//go:build !js

package clienttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// harness is an HTTP server through which tests start hubs and control them. If an action fails,
// the server answers with status 500 and the reason.
type harness struct {
	server     *httptest.Server
	secretFile string
	peers      *peers
	suite      atomic.Pointer[suitePage]
	stopped    context.Context // ends when the harness ends
	nextID     atomic.Int64
	front      atomic.Pointer[station] // the hub that the control server serves under its own origin

	mu   sync.Mutex
	hubs map[string]*station
}

func startHarness(t *testing.T) *harness {
	t.Helper()
	stopped, stop := context.WithCancel(context.Background())
	h := &harness{
		secretFile: filepath.Join(t.TempDir(), "secret"), hubs: map[string]*station{}, stopped: stopped, peers: newPeers(stopped),
	}
	require.NoError(t, os.WriteFile(h.secretFile, secret, 0o600))
	routes := http.NewServeMux()
	routes.HandleFunc("POST /hubs", h.create)
	routes.HandleFunc("DELETE /hubs/{id}", h.remove)
	routes.HandleFunc("POST /hubs/{id}/{action}", h.act)
	routes.Handle("/peer/", h.peers)
	routes.HandleFunc("/page/{file}", h.servePage)
	for _, path := range []string{"/sse", "/ws", "/poll", "/publish", "/ticket"} {
		routes.HandleFunc(path, h.serveFront)
	}
	h.server = httptest.NewServer(routes)
	t.Cleanup(func() {
		stop()
		h.server.CloseClientConnections()
		h.server.Close()
		h.peers.close()
		for _, s := range h.hubs {
			if t.Failed() {
				t.Logf("hub %s: %s", s.id, s.hub.log.String())
			}
			s.close()
		}
	})
	return h
}

// answer writes the value as JSON, or the error.
func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value)
}

// station is a hub and two proxies in front of it: a toxiproxy and a filter.
type station struct {
	id     string
	hub    *hubProcess
	faults *faults
	filter *filter
	flow   flow

	mu     sync.Mutex   // held during an action
	closed bool         // guarded by mu
	direct atomic.Value // the address of the hub itself

	publisher  http.Transport // sends the published events; its requests have idempotency keys, so it may repeat them
	publishing sync.Mutex
	counts     map[string]int // number of published events by topic
}

func (h *harness) create(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s, err := h.newStation(r.Form["flag"])
	if err != nil {
		answer(w, nil, err)
		return
	}
	h.mu.Lock()
	h.hubs[s.id] = s
	h.mu.Unlock()
	answer(w, map[string]string{
		"id": s.id, "direct": "http://" + s.direct.Load().(string), "url": "http://" + s.faults.listen, "filtered": s.filter.server.URL,
	}, nil)
}

func (h *harness) newStation(flags []string) (*station, error) {
	s := &station{
		id: strconv.FormatInt(h.nextID.Add(1), 10), hub: newHubProcess(h.secretFile, h.server.URL, flags), counts: map[string]int{},
	}
	addr, err := s.hub.start()
	if err != nil {
		return nil, err
	}
	s.direct.Store(addr)
	if s.faults, err = newFaults(addr); err != nil {
		return nil, errors.Join(err, s.hub.end(os.Kill))
	}
	s.filter = newFilter(h.stopped, s.faults.listen)
	return s, nil
}

// start starts the hub again after it has ended.
func (s *station) start() error {
	addr, err := s.hub.start()
	if err != nil {
		return err
	}
	s.direct.Store(addr)
	return s.faults.turn(addr)
}

func (s *station) close() {
	s.filter.close()
	s.faults.close()
	_ = s.flow.stop()
	s.publisher.CloseIdleConnections()
	s.mu.Lock() // an action whose test no longer waits for it may still start the hub
	defer s.mu.Unlock()
	s.closed = true
	_ = s.hub.end(os.Kill)
}

func (h *harness) remove(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	s := h.hubs[r.PathValue("id")]
	delete(h.hubs, r.PathValue("id"))
	h.mu.Unlock()
	if s == nil {
		http.NotFound(w, r)
		return
	}
	s.close()
	answer(w, nil, nil)
}

func (h *harness) act(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	s := h.hubs[r.PathValue("id")]
	h.mu.Unlock()
	if s == nil {
		http.NotFound(w, r)
		return
	}
	if r.PathValue("action") == "front" {
		h.front.Store(s)
		answer(w, nil, nil)
		return
	}
	value, err := s.act(r)
	answer(w, value, err)
}

// cutOff matches the log line in which a hub reports how many connections it closed at its drain deadline.
var cutOff = regexp.MustCompile(`"msg":"the hub has stopped","cut":(\d+)`)

func (s *station) act(r *http.Request) (value any, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := strconv.Atoi(r.FormValue("n"))
	switch action := r.PathValue("action"); action {
	case "cut", "heal":
		return nil, s.faults.swap()
	case "blackhole":
		return nil, s.faults.add(blackhole()...)
	case "slow":
		return nil, s.faults.add(slow(n)...)
	case "brittle":
		return nil, s.faults.swap(brittle(n)...)
	case "filter":
		s.filter.ws.Store(r.FormValue("ws"))
		s.filter.sse.Store(r.FormValue("sse"))
		s.filter.server.CloseClientConnections()
		return nil, nil
	case "kill":
		return nil, s.hub.end(os.Kill)
	case "drain":
		err := s.hub.end(syscall.SIGTERM)
		cut := cutOff.FindStringSubmatch(s.hub.log.String())
		if err != nil || cut == nil {
			return nil, errors.Join(err, fmt.Errorf("the hub did not log the end of its drain: %s", s.hub.log.String()))
		}
		last, err := strconv.Atoi(cut[1])
		return map[string]int{"last": last}, err
	case "start":
		if s.closed {
			return nil, errors.New("the hub was removed")
		}
		return nil, s.start()
	case "publish":
		size, _ := strconv.Atoi(r.FormValue("size"))
		return s.publish(r.Context(), r.FormValue("topic"), n, size)
	case "flow":
		every, err := time.ParseDuration(r.FormValue("every"))
		if err != nil {
			return nil, err
		}
		return nil, s.flow.start(every, func() error {
			_, err := s.publish(context.Background(), "flow", 1, 0)
			return err
		})
	case "calm":
		err := s.flow.stop()
		return map[string]int{"last": s.counts["flow"]}, err
	default:
		return nil, fmt.Errorf("unknown action %q", action)
	}
}

// serveFront serves a hub under the control server's origin.
func (h *harness) serveFront(w http.ResponseWriter, r *http.Request) {
	s := h.front.Load()
	if s == nil {
		http.Error(w, "no hub is selected: the test must first call the action front", http.StatusBadGateway)
		return
	}
	proxy := proxyTo(s.direct.Load().(string))
	proxy.ServeHTTP(w, r)
}
