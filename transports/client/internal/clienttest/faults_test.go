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

// toxic returns the JSON of a toxic, which is a network fault that toxiproxy simulates.
func toxic(kind, stream string, toxicity float64, attribute string, value int) string {
	return fmt.Sprintf(`{"name":"%[1]s_%[2]s","type":"%[1]s","stream":"%[2]s","toxicity":%[3]g,"attributes":{"%[4]s":%[5]d}}`,
		kind, stream, toxicity, attribute, value)
}

// blackhole returns toxics that drop all data and keep connections open.
func blackhole() []string {
	return []string{toxic("timeout", "downstream", 1, "timeout", 0), toxic("timeout", "upstream", 1, "timeout", 0)}
}

// slow returns toxics that limit the data rate of each direction. The rate is in KB/s.
func slow(rate int) []string {
	return []string{toxic("bandwidth", "downstream", 1, "rate", rate), toxic("bandwidth", "upstream", 1, "rate", rate)}
}

// brittle returns toxics that reset a connection after the given number of bytes from the hub. The
// reset_peer toxic has toxicity 0 and no effect of its own; its presence makes toxiproxy reset the
// connection at the limit instead of closing it.
func brittle(bytes int) []string {
	return []string{toxic("reset_peer", "downstream", 0, "timeout", 0), toxic("limit_data", "downstream", 1, "bytes", bytes)}
}

// faults is a proxy in front of a hub. Its address never changes. toxiproxy cannot remove a toxic
// from a blocked connection, so faults replaces the whole proxy instead.
type faults struct {
	server  *toxiproxy.ApiServer
	release func() // releases the port

	mu               sync.Mutex
	listen, upstream string
	proxy            *toxiproxy.Proxy
}

func newFaults(upstream string) (*faults, error) {
	metrics := toxiproxy.NewMetricsContainer(prometheus.NewRegistry())
	port, release, err := holdPort()
	if err != nil {
		return nil, err
	}
	f := &faults{server: toxiproxy.NewServer(metrics, zerolog.Nop()), release: release, listen: fmt.Sprintf("127.0.0.1:%d", port)}
	if err := f.turn(upstream); err != nil {
		release()
		return nil, err
	}
	return f, nil
}

// swap closes all connections, and applies the toxics to new ones.
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
	// On systems where holdPort reserves no port, another process may have taken the port since the old
	// proxy was stopped.
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

// add applies toxics to existing and new connections.
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

// turn switches the proxy to another hub.
func (f *faults) turn(upstream string) error {
	f.mu.Lock()
	f.upstream = upstream
	f.mu.Unlock()
	return f.swap()
}

// stop closes all connections and accepts no new ones until swap. It keeps the port reserved.
func (f *faults) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proxy.Stop()
}

func (f *faults) close() {
	f.stop()
	f.release()
}
