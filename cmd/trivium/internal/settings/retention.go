package settings

import (
	"cmp"
	"math"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// MemlogShare is the divisor of the runtime's memory limit that yields the limit of the in-memory
// log when the engine has a durable log. The rest of the memory is needed: an embedded server also
// keeps blocks of its log in memory, 8 MiB each.
const MemlogShare = 4

// encodingShare is the divisor of the memory of the in-memory log that yields the part for the encodings of its
// events.
const encodingShare = 8

// Retention has the bounds of what a hub retains.
type Retention struct {
	Memlog    hub.Retention // of the in-memory log
	Encodings int64         // bytes of the encodings that are kept with the events of the in-memory log
	Log       hub.Retention // of the engine's durable log
}

// Retention returns the bounds of the hub's in-memory log, with the encodings of its events, and of the engine's durable
// log. With the memory engine both are the configured bounds. With a durable engine the configured bounds apply to its
// log, and the in-memory log is also bounded by the defaults and by a share of memoryLimit (bytes); older events are read
// from the durable log.
func (c *ServeConfig) Retention(memoryLimit int64) Retention {
	log := hub.Retention{Events: c.RetainEvents, Bytes: int64(c.RetainBytes), Age: c.RetainAge, GapTopics: c.GapTopics}
	memlog := log
	if c.Engine != EngineMemory {
		memlog.Events = min(log.Events, hub.DefaultRetainEvents)
		memlog.Bytes = min(log.Bytes, hub.DefaultRetainBytes, max(memoryLimit/MemlogShare, 1<<20))
	}
	encodings := max(memlog.Bytes/encodingShare, 1) // not 0, which would mean the default
	memlog.Bytes = max(memlog.Bytes-encodings, 1)
	return Retention{Memlog: memlog, Encodings: encodings, Log: log}
}

// MaxEventSize returns the limit of an event's data in bytes. It is at most what the engine accepts and what fits
// into its log, so that each event that the hub accepts can also be delivered.
func (c *ServeConfig) MaxEventSize() int {
	size := Unlimited(c.MaxEventBytes)
	if c.Engine != EngineMemory {
		room := min(c.RetainBytes-jetstream.MaxMessageOverhead, jetstream.MaxEventSize) // int64, because --retain-bytes may exceed an int of 32 bits
		size = min(size, int(room))
	}
	return size
}

// Unlimited returns the size, or math.MaxInt if it is 0, which means no limit in settings.
func Unlimited(s Size) int {
	return cmp.Or(int(s), math.MaxInt)
}
