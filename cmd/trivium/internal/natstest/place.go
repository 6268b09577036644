package natstest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// asNATS is an environment variable with the Place of the server that the test binary runs as.
const asNATS = "TRIVIUM_TEST_AS_NATS"

// Place is the configuration of one server of the cluster.
type Place struct {
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
	HubUser   = "hub"
	AdminUser = "admin" // may publish and subscribe to everything
)

// User returns the user and password for a URL. The password equals the name.
func (p *Place) User(name string) string {
	if p.Rights == "" {
		return ""
	}
	return name + ":" + name + "@"
}

// RunServer runs a NATS server until the process is killed, if Start has started it. Otherwise RunServer returns.
func RunServer() {
	text, isServer := os.LookupEnv(asNATS)
	if !isServer {
		return
	}
	var place Place
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
	os.Exit(0)
}

func (p *Place) options() *natsd.Options {
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
		{Username: AdminUser, Password: AdminUser},
		{Username: HubUser, Password: HubUser, Permissions: &natsd.Permissions{Publish: &natsd.SubjectPermission{Allow: []string{">"}, Deny: denied}}},
	}
	return o
}
