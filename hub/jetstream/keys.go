package jetstream

import (
	"sync"
	"time"
)

// maxKeys is how many keyed publishes are remembered of what came by: as many as a hub allows.
const maxKeys = 100_000

// keys knows the keyed publishes of all hubs that came by on the stream. JetStream remembers an ID no
// longer than it keeps events, and not what was published under it once the first event is gone.
type keys struct {
	mu    sync.Mutex
	byID  map[string]keyed
	order []string // of byID, the oldest first
}

// keyed is a publish under a key.
type keyed struct {
	once string    // as its first message says, see headerOnce
	last uint64    // sequence
	at   time.Time // when it was stored
}

// note takes a publish that came by; each comes by once.
func (k *keys) note(id string, one keyed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID = make(map[string]keyed)
	}
	now := time.Now()
	for len(k.order) > 0 && (len(k.order) == maxKeys || k.byID[k.order[0]].isOver(now)) {
		delete(k.byID, k.order[0])
		k.order = k.order[1:]
	}
	if _, again := k.byID[id]; !again && !one.isOver(now) {
		k.byID[id] = one
		k.order = append(k.order, id)
	}
}

// find gives the publish that came by under the ID within keyPeriod.
func (k *keys) find(id string) (one keyed, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, known = k.byID[id]
	return one, known && !one.isOver(time.Now())
}

func (one keyed) isOver(now time.Time) bool { return now.Sub(one.at) >= keyPeriod }
