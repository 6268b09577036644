package connection

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Defaults of the configuration of a transport.
const (
	DefaultHeartbeat    = 15 * time.Second
	DefaultWriteTimeout = 10 * time.Second
)

// Shared is what the configurations of all transports have in common.
type Shared struct {
	Hub          *hub.Hub
	Registry     *Registry
	Counters     *Counters
	Heartbeat    time.Duration
	WriteTimeout time.Duration
}

// Complete sets the defaults of s, or returns all that is wrong with it. own reports whether it has made s.Registry, which
// the caller must close.
func (s *Shared) Complete(transport string) (own bool, err error) {
	var faults []error
	if s.Hub == nil {
		faults = append(faults, fmt.Errorf("%s: Config.Hub is required", transport))
	}
	if s.Heartbeat < 0 {
		faults = append(faults, fmt.Errorf("%s: Config.Heartbeat must not be negative", transport))
	}
	if s.WriteTimeout < 0 {
		faults = append(faults, fmt.Errorf("%s: Config.WriteTimeout must not be negative", transport))
	}
	if len(faults) > 0 {
		return false, errors.Join(faults...)
	}
	s.WriteTimeout = cmp.Or(s.WriteTimeout, DefaultWriteTimeout)
	s.Counters = cmp.Or(s.Counters, new(Counters))
	if s.Registry == nil {
		s.Registry, own = NewRegistry(cmp.Or(s.Heartbeat, DefaultHeartbeat)), true
	}
	return own, nil
}
