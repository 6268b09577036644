package main

import (
	"encoding/json"
	"fmt"
	"net/url"

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
}

func runNATS(text string) {
	var place natsPlace
	if err := json.Unmarshal([]byte(text), &place); err != nil {
		panic(err)
	}
	o := &natsd.Options{
		ServerName: place.Name, Host: "127.0.0.1", Port: place.Port, NoLog: true,
		JetStream: true, StoreDir: place.Store, MaxPayload: 2 << 20,
	}
	if len(place.Peers) > 0 {
		// Hubs know the servers by their proxies alone.
		o.Cluster = natsd.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: place.Peers[place.Self], NoAdvertise: true}
	}
	for _, port := range place.Peers {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	s, err := natsd.NewServer(o)
	if err != nil {
		panic(err)
	}
	s.Start()
	s.WaitForShutdown()
}
