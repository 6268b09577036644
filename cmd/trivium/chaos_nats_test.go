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

// asNATS makes the test binary be a NATS server of a cluster, until it is killed.
const asNATS = "TRIVIUM_TEST_AS_NATS"

// natsPlace is where one server of the cluster is.
type natsPlace struct {
	Name  string
	Port  int
	Peers []int // of all, its own is at Self; none: it is no cluster
	Self  int
	Store string
	// Rights is a file with the subjects that hubs may not publish to, a JSON list. The server reads it at its
	// start and at SIGHUP. Empty: no user needs a password.
	Rights string
}

// The users of a server that has rights.
const (
	hubUser   = "hub"
	adminUser = "admin" // may do everything
)

// user returns the user's part of a URL: each has its name as its password.
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
		// Hubs know the servers by their proxies alone.
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
