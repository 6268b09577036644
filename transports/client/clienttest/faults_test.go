//go:build !js

package clienttest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// toxic is one of toxiproxy's, as its API spells it.
func toxic(kind, stream string, toxicity float64, attribute string, value int) string {
	return fmt.Sprintf(`{"name":"%[1]s_%[2]s","type":"%[1]s","stream":"%[2]s","toxicity":%[3]g,"attributes":{"%[4]s":%[5]d}}`,
		kind, stream, toxicity, attribute, value)
}

// blackhole swallows everything and closes nothing.
func blackhole() []string {
	return []string{toxic("timeout", "downstream", 1, "timeout", 0), toxic("timeout", "upstream", 1, "timeout", 0)}
}

// slow lets through so many KB a second.
func slow(rate int) []string {
	return []string{toxic("bandwidth", "downstream", 1, "rate", rate), toxic("bandwidth", "upstream", 1, "rate", rate)}
}

// brittle resets each connection after so many bytes from the hub. That it is reset, and not
// closed, is what a toxic does that is there and never acts.
func brittle(bytes int) []string {
	return []string{toxic("reset_peer", "downstream", 0, "timeout", 0), toxic("limit_data", "downstream", 1, "bytes", bytes)}
}

// faults is a proxy to a hub at an address that stays. Instead of taking a toxic from a link, which
// toxiproxy can't while the link is stuck, it begins again with a new proxy.
type faults struct {
	server *toxiproxy.ApiServer

	mu               sync.Mutex
	listen, upstream string
	proxy            *toxiproxy.Proxy
}

func newFaults(upstream string) (*faults, error) {
	metrics := toxiproxy.NewMetricsContainer(prometheus.NewRegistry())
	f := &faults{server: toxiproxy.NewServer(metrics, zerolog.Nop()), listen: "127.0.0.1:0"}
	return f, f.turn(upstream)
}

// swap cuts all connections; those to come meet the toxics.
func (f *faults) swap(toxics ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.proxy != nil {
		f.proxy.Stop()
	}
	proxy := toxiproxy.NewProxy(f.server, "hub", f.listen, f.upstream)
	for _, toxic := range toxics {
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return err
		}
	}
	// For a moment the port was free, and may be a connection's.
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		err := proxy.Start()
		if err == nil {
			f.proxy, f.listen = proxy, proxy.Listen
			return nil
		}
		if time.Since(begin) > patience {
			return err
		}
	}
}

// add puts toxics on the connections that there are, and on those to come.
func (f *faults) add(toxics ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, toxic := range toxics {
		if _, err := f.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return err
		}
	}
	return nil
}

// turn leads to another hub.
func (f *faults) turn(upstream string) error {
	f.mu.Lock()
	f.upstream = upstream
	f.mu.Unlock()
	return f.swap()
}

func (f *faults) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proxy.Stop()
}
