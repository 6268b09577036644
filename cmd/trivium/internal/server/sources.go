package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
	"github.com/trivium-hub/trivium/transports/udp"
)

// source is a part of the hub that receives events on a separate socket.
type source struct {
	name    string // name in the log, /stats and /metrics
	addr    net.Addr
	example func(host, port string) string  // returns the line about the source that Announce prints
	run     func(ctx context.Context) error // receives events until ctx is canceled, and then closes the socket
	stats   func() stats.Source             // current counts
}

// sourceTable contains one function per source. The function opens the socket of the source, or returns
// nil if the source is off.
var sourceTable = []func(*Server) (*source, error){(*Server).openUDP}

// openSources opens the sockets of all enabled sources.
func (s *Server) openSources() error {
	for _, open := range sourceTable {
		source, err := open(s)
		if err != nil {
			return err
		}
		if source != nil {
			s.sources = append(s.sources, source)
		}
	}
	return nil
}

// openUDP opens the socket of --udp.
func (s *Server) openUDP() (*source, error) {
	if s.cfg.UDP == "" {
		return nil, nil
	}
	u, err := s.listenUDP()
	if err != nil {
		return nil, fmt.Errorf("--udp: %w", err)
	}
	return &source{
		name: "udp", addr: u.Addr(), run: u.Run,
		example: func(host, port string) string {
			return fmt.Sprintf("UDP        echo '{\"hello\":\"world\"}' | nc -u -w1 %s %s", host, port)
		},
		stats: func() stats.Source {
			counts := u.Stats()
			return stats.Source{Datagrams: counts.Datagrams, Events: counts.Events, Dropped: counts.Dropped}
		},
	}, nil
}

// listenUDP opens the socket of --udp and returns the UDP source.
func (s *Server) listenUDP() (*udp.Source, error) {
	mode, err := udp.ParseMode(s.cfg.UDPFormat)
	if err != nil {
		return nil, err
	}
	var allow []netip.Prefix
	for _, senders := range s.cfg.UDPAllow {
		prefix, err := auth.ParseNetwork(senders)
		if err != nil {
			return nil, err
		}
		allow = append(allow, prefix)
	}
	var secret []byte
	if s.cfg.UDPSecretFile != "" {
		if secret, err = settings.ReadUDPSecret(s.cfg.UDPSecretFile); err != nil {
			return nil, err
		}
	}
	if secret != nil {
		s.warnOfSkew()
	}
	return udp.Listen(udp.Config{
		Allow:  allow,
		Secret: secret,
		Skew:   s.cfg.UDPSkew,

		Addr:      s.cfg.UDP,
		Interface: s.cfg.UDPInterface,
		Format: udp.Format{
			Mode:       mode,
			Topic:      s.cfg.UDPTopic,
			TopicField: s.cfg.UDPTopicField,
			TypeField:  s.cfg.UDPTypeField,
		},
		MaxEventBytes: s.hub.MaxEventSize(),
		Publish:       s.hub.PublishEach,
		PublishUnique: s.hub.PublishUnique,
		Logger:        s.log,
	})
}
