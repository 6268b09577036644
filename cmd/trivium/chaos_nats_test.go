package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// asNATS is an environment variable that makes the test binary run as a NATS server of a cluster, until it is
// killed.
const asNATS = "TRIVIUM_TEST_AS_NATS"

// natsPlace is the configuration of one server of the cluster.
type natsPlace struct {
	Name  string
	Port  int
	Peers []int // cluster ports of all servers; this server's own is at Self; empty: no cluster
	Self  int
	Store string
	// Rights is the path of a JSON file with a list of subjects to which hubs may not publish. The
	// server reads it at its start and at SIGHUP. If Rights is empty, no passwords are required.
	Rights string
}

// Users of a server with rights.
const (
	hubUser   = "hub"
	adminUser = "admin" // may publish and subscribe to everything
)

// user returns the user and password for a URL. The password equals the name.
func (p *natsPlace) user(name string) string {
	if p.Rights == "" {
		return ""
	}
	return name + ":" + name + "@"
}

func runNATS(text string) {
	var place natsPlace
	if err := json.Unmarshal([]byte(text), &place); err != nil {
		panic(err)
	}
	s, err := natsd.NewServer(place.options())
	if err != nil {
		panic(err)
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	go func() {
		for range reload {
			if err := s.ReloadOptions(place.options()); err != nil {
				panic(err)
			}
		}
	}()
	s.Start()
	s.WaitForShutdown()
}

func (p *natsPlace) options() *natsd.Options {
	o := &natsd.Options{
		ServerName: p.Name, Host: "127.0.0.1", Port: p.Port, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: p.Store, MaxPayload: 2 << 20,
	}
	if len(p.Peers) > 0 {
		// NoAdvertise: hubs must reach the servers only through the test's proxies.
		o.Cluster = natsd.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: p.Peers[p.Self], NoAdvertise: true}
	}
	for _, port := range p.Peers {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	if p.Rights == "" {
		return o
	}
	text, err := os.ReadFile(p.Rights)
	if err != nil {
		panic(err)
	}
	var denied []string
	if err := json.Unmarshal(text, &denied); err != nil {
		panic(err)
	}
	o.Users = []*natsd.User{
		{Username: adminUser, Password: adminUser},
		{Username: hubUser, Password: hubUser, Permissions: &natsd.Permissions{Publish: &natsd.SubjectPermission{Allow: []string{">"}, Deny: denied}}},
	}
	return o
}
