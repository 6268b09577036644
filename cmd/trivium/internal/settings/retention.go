package settings

import (
	"cmp"
	"math"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// MemlogShare limits the size of the in-memory log with a durable engine: the maximum is the memory limit
// of the runtime divided by MemlogShare. The rest of the memory is needed for other purposes. For example,
// the NATS server of the embedded engine keeps blocks of its log in memory, each of 8 MiB.
const MemlogShare = 4

// encodingShare limits the size of the encodings of events: the maximum is the memory of the in-memory log
// divided by encodingShare. An encoding is an event's bytes in the format of a transport.
const encodingShare = 8

// Retention holds the limits of the events that a hub retains.
type Retention struct {
	Memlog    hub.Retention // limits of the in-memory log
	Encodings int64         // maximum size of the encodings that are stored with the events of the in-memory log, in bytes
	Log       hub.Retention // limits of the engine's durable log
}

// Retention returns the limits of the hub's in-memory log and of the engine's durable log. With the memory
// engine, both are the configured limits. With a durable engine, the configured limits apply to both logs,
// and the in-memory log is also limited by the default limits and by a share of memoryLimit, which is in
// bytes. The in-memory log may be smaller than the durable log, because older events are read from the
// durable log. A part of the memory of the in-memory log is reserved for the encodings of its events.
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

// MaxEventSize returns the maximum size of an event's data in bytes. It is not larger than the engine's maximum or than
// the space in the engine's log, so that each event that the hub accepts can also be stored and delivered.
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
