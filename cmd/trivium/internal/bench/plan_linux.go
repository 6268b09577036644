package bench

import (
	"crypto/tls"
	"net"
)

// plan describes how the subscribers of a group connect and subscribe.
type plan struct {
	transport     string
	at            []endpoint // servers among which the subscribers are divided
	n             int
	topic         func(i int) string
	stream        func(i int) uint32
	next          func(i int) uint32 // returns the number of the first event that subscriber i must receive
	cursor        string             // "": start with the next event
	receiveBuffer int                // bytes; 0: the kernel chooses
	tls           *tls.Config        // nil: plain TCP
	spread        bool               // bind subscriber i to sourceAddress(i)
}

// protocol returns HTTP2 if the connections negotiate HTTP/2, and otherwise the transport.
func (p *plan) protocol() string {
	if p.tls != nil && len(p.tls.NextProtos) > 0 {
		return HTTP2
	}
	return p.transport
}

// endpoint is the address of a server and the token with which subscribers connect to it.
type endpoint struct {
	address     *net.TCPAddr
	host, token string
}

func (p *plan) of(i int) *endpoint { return &p.at[i%len(p.at)] }

func (e *endpoint) authorization() string {
	if e.token == "" {
		return ""
	}
	return "Authorization: Bearer " + e.token + "\r\n"
}
