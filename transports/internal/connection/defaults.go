package connection

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Defaults of a transport's configuration.
const (
	DefaultHeartbeat    = 15 * time.Second
	DefaultWriteTimeout = 10 * time.Second
)

// Shared holds the settings and the state that are common to the handlers of all transports.
type Shared struct {
	Hub          *hub.Hub
	Registry     *Registry
	Counters     *Counters
	WriteTimeout time.Duration
	Disconnect   bool // see Config

	ownRegistry bool // whether Complete has created Registry
}

// Complete sets the defaults of s. If the configuration is invalid, Complete returns an error that
// describes all faults. If Registry is nil, Complete creates a Registry with the given heartbeat
// interval, and Close later closes that Registry.
func (s *Shared) Complete(transport string, heartbeat time.Duration) error {
	var faults []error
	if s.Hub == nil {
		faults = append(faults, fmt.Errorf("%s: Config.Hub is required", transport))
	}
	if heartbeat < 0 {
		faults = append(faults, fmt.Errorf("%s: Config.Heartbeat must not be negative", transport))
	}
	if s.WriteTimeout < 0 {
		faults = append(faults, fmt.Errorf("%s: Config.WriteTimeout must not be negative", transport))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	s.WriteTimeout = cmp.Or(s.WriteTimeout, DefaultWriteTimeout)
	s.Counters = cmp.Or(s.Counters, new(Counters))
	if s.Registry == nil {
		s.Registry, s.ownRegistry = NewRegistry(cmp.Or(heartbeat, DefaultHeartbeat), 0), true
	}
	return nil
}

// Close closes the Registry if Complete has created it.
func (s *Shared) Close() {
	if s.ownRegistry {
		s.Registry.Close()
	}
}

// WriterConfig returns the Config that all Writers with this codec share.
func (s *Shared) WriterConfig(c Codec) *Config {
	return &Config{Codec: c, Counters: s.Counters, Registry: s.Registry, WriteTimeout: s.WriteTimeout, Disconnect: s.Disconnect}
}

// Draining returns the problem with which the hub refuses new subscriptions while it drains, or nil
// if it does not drain.
func (s *Shared) Draining() *problems.Problem {
	if s.Registry.IsDraining() {
		return problems.Draining(problems.RetryDelay())
	}
	return nil
}

// Subscriber is a connection or a request that subscribes: it holds the access of its token and receives
// batches of events.
type Subscriber interface {
	auth.Holder
	hub.Sink
}

// Subscribe acquires access for a Subscriber, counts its filters toward the token's limit, and subscribes
// it. If Subscribe succeeds, the caller must later release the access and close the subscription. If
// Subscribe returns a problem, the access is already released.
func (s *Shared) Subscribe(access auth.Access, to Subscriber, r hub.Request) (*hub.Subscription, *problems.Problem) {
	problem := access.Acquire(to)
	if problem != nil {
		return nil, problem
	}
	if problem = access.ReserveFilters(to, r.Filters); problem == nil {
		subscription, err := s.Hub.Subscribe(r, to)
		if err == nil {
			return subscription, nil
		}
		problem = problems.Of(err)
	}
	access.Release(to)
	return nil, problem
}
