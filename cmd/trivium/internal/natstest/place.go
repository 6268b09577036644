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

// asNATS is the environment variable that makes a test binary run as a NATS server. Its value is the server's Place.
const asNATS = "TRIVIUM_TEST_AS_NATS"

// Place is the configuration of a NATS server, which may be part of a cluster.
type Place struct {
	Name  string
	Port  int
	Peers []int // cluster ports of all servers of the cluster, including this one; empty: no cluster
	Self  int   // index of this server's port in Peers
	Store string
	// Rights is the path of a JSON file with a list of subjects to which hubs may not publish. The
	// server reads it at its start and at SIGHUP. If Rights is empty, the server requires no passwords.
	Rights string
}

// These are the users of a server whose Place has Rights.
const (
	HubUser   = "hub"
	AdminUser = "admin" // may publish and subscribe to everything
)

// User returns the user name and password as they precede the host in a URL, or "" if the server requires none. The
// password equals the name.
func (p *Place) User(name string) string {
	if p.Rights == "" {
		return ""
	}
	return name + ":" + name + "@"
}

// RunServer does nothing unless Start has started this process. If so, it runs a NATS server until the
// process is killed.
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
		// NoAdvertise, because hubs must connect to the servers only through the proxies of the test.
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
