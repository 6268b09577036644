package udp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Reasons of a loss, beside those of wire.RefusalReason.
const (
	droppedSender    = "sender"
	droppedSignature = "signature"
	droppedReplayed  = "replayed"
	droppedOverload  = "overload"
	droppedEngine    = "engine"
	droppedKernel    = "kernel"
)

const (
	defaultReadBuffer = 4 << 20  // bytes; 65 ms of 100,000 datagrams a second
	maxDatagram       = 64 << 10 // bytes; more than UDP can carry, so none is ever cut
	flushTimeout      = 500 * time.Millisecond
)

// Config is a source's configuration. Addr, Format.Topic and Publish must be set.
type Config struct {
	Addr          string              // host:port; port 0 takes a free one. A multicast group is joined (Linux)
	Interface     string              // on which a multicast group is joined; empty: the system chooses
	Format        wire.DatagramFormat // how a datagram becomes events
	MaxEventBytes int                 // of an event's data; 0: hub.DefaultMaxEventSize
	ReadBuffer    int                 // bytes of the socket's buffer asked for; 0: 4 MiB
	// Allow holds the addresses of whom datagrams are taken; none: everybody. IPv4 is IPv4 also
	// when it is mapped to IPv6 (RFC 4291 section 2.5.5.2), on both sides, and of a sender's
	// address the zone does not count.
	Allow []netip.Prefix
	// Secret is what a datagram must be signed with (docs/protocol.md#signed-datagrams), byte for byte; nil: no
	// datagram is signed.
	Secret []byte
	// Skew is how far the time of a signed datagram may be from the hub's, to either side; 0:
	// DefaultSkew.
	Skew time.Duration
	// Publish takes a batch of valid events, as hub.Hub.PublishEach does. One call at a
	// time is made.
	Publish func(ctx context.Context, events ...*hub.Event) (hub.Cursor, error)
	// PublishUnique, if not nil, takes the batches of signed datagrams in place of Publish, with an ID for
	// each event, as hub.Hub.PublishUnique does: what another hub has taken counts as replayed.
	PublishUnique func(ctx context.Context, ids []string, events ...*hub.Event) (repeated int, err error)
	Logger        *slog.Logger // nil: none
}

// Source reads datagrams from a socket and publishes what they hold. Addr and Stats may be called
// by any goroutine at any time.
type Source struct {
	// Static after Listen.
	cfg  Config
	conn *net.UDPConn

	queue     *queue
	datagrams atomic.Uint64
	events    atomic.Uint64
	dropped   map[string]*atomic.Uint64          // by reason; the map is static
	samples   map[string]*atomic.Pointer[sample] // of what was dropped, by reason; the map is static
	kernel    kernelDrops

	// Owned by Run's calling goroutine.
	filter *packetFilter
	syslog *syslogParser // nil: Format.Mode is another
	parsed []*hub.Event  // of one datagram
}

// Stats is what a source has counted since Listen.
type Stats struct {
	Datagrams uint64            // read
	Events    uint64            // published
	Dropped   map[string]uint64 // by reason (see the package); every reason is there
}

// Listen opens the socket. Run must follow: it reads it, and closes it in the end. The error says
// which part of the configuration cannot work, or why the system refused the address.
func Listen(cfg Config) (*Source, error) {
	if err := cfg.Format.Validate(); err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	if cfg.MaxEventBytes == 0 {
		cfg.MaxEventBytes = hub.DefaultMaxEventSize
	}
	if cfg.ReadBuffer == 0 {
		cfg.ReadBuffer = defaultReadBuffer
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	guard, err := newPacketFilter(&cfg)
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	addr, err := net.ResolveUDPAddr("udp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	var conn *net.UDPConn
	if addr.IP.IsMulticast() {
		conn, err = listenGroup(addr, cfg.Interface)
	} else {
		conn, err = net.ListenUDP("udp", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	got, err := setReadBuffer(conn, cfg.ReadBuffer)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("udp: set the read buffer: %w", err)
	}
	if got < cfg.ReadBuffer {
		cfg.Logger.Warn("udp: the system gives a smaller read buffer; bursts are lost sooner (net.core.rmem_max)",
			"bytes", got, "asked", cfg.ReadBuffer)
	}
	s := &Source{cfg: cfg, conn: conn, queue: newQueue(), filter: guard, dropped: make(map[string]*atomic.Uint64), samples: make(map[string]*atomic.Pointer[sample])}
	if cfg.Format.Mode == wire.DatagramSyslog {
		s.syslog = newSyslogParser()
	}
	for _, reason := range []string{
		wire.RefusedMalformed, wire.RefusedTooLarge, wire.RefusedTopic, wire.RefusedType,
		droppedSender, droppedSignature, droppedReplayed, droppedOverload, droppedEngine,
	} {
		s.dropped[reason], s.samples[reason] = new(atomic.Uint64), new(atomic.Pointer[sample])
	}
	return s, nil
}

// Addr is the address listened on.
func (s *Source) Addr() net.Addr { return s.conn.LocalAddr() }

// Stats counts up to now; after Run has returned, for good.
func (s *Source) Stats() Stats {
	stats := Stats{
		Datagrams: s.datagrams.Load(),
		Events:    s.events.Load(),
		Dropped:   make(map[string]uint64, len(s.dropped)+1),
	}
	for reason, n := range s.dropped {
		stats.Dropped[reason] = n.Load()
	}
	stats.Dropped[droppedKernel] = s.kernel.read(s.conn)
	return stats
}

// Run reads and publishes until ctx ends, publishes what was read, and closes the socket. It is
// called once. The error is nil, or the one with which the socket failed.
func (s *Source) Run(ctx context.Context) error {
	// What was read is published also after ctx has ended.
	publishing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	published, stopped, logged := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(published)
		s.publish(publishing)
	}()
	go func() {
		defer close(logged)
		losses := lossLog{logger: s.cfg.Logger, dropped: func() map[string]uint64 { return s.Stats().Dropped }, sample: s.takeSample}
		losses.run(stopped)
	}()
	// A deadline in the past wakes the read without closing the socket, which has yet to be
	// asked what it dropped.
	unwatch := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer unwatch()

	err := s.read(ctx)
	s.kernel.read(s.conn)
	_ = s.conn.Close() // nothing was written that could be lost
	s.queue.close()
	flushing := time.AfterFunc(flushTimeout, giveUp)
	defer flushing.Stop()
	<-published
	close(stopped)
	<-logged
	return err
}

func (s *Source) read(ctx context.Context) error {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case err != nil:
			return fmt.Errorf("udp: %w", err)
		}
		s.datagrams.Add(1)
		payload, id, reason := s.filter.check(from.Addr(), buf[:n])
		if reason != "" {
			s.refuse(reason, from, buf[:n])
			continue
		}
		s.enqueue(from, payload, id)
	}
}

// take queues the events of one datagram that has passed the guard. Each has the datagram's ID and its own
// place in it.
func (s *Source) enqueue(from netip.AddrPort, datagram []byte, id string) {
	if s.cfg.PublishUnique == nil {
		id = ""
	}
	text := datagram
	if s.syslog != nil {
		var err error
		if text, err = s.syslog.toJSON(datagram); err != nil {
			s.refuse(wire.RefusedMalformed, from, datagram)
			return
		}
	}
	s.parsed = s.cfg.Format.Parse(s.parsed[:0], text, func(reason string) { s.refuse(reason, from, datagram) })
	for i, e := range s.parsed {
		own := id
		if id != "" && i > 0 {
			own += "." + strconv.Itoa(i)
		}
		if err := e.Validate(s.cfg.MaxEventBytes); err != nil {
			s.refuse(wire.RefusalReason(err), from, datagram)
		} else if !s.queue.put(e, own) {
			s.refuse(droppedOverload, from, datagram)
		}
	}
	clear(s.parsed)
}

// refuse counts a datagram, or a text in it, and keeps one for the log.
func (s *Source) refuse(reason string, from netip.AddrPort, datagram []byte) {
	s.drop(reason, 1)
	if kept := s.samples[reason]; kept.Load() == nil {
		kept.Store(sampleOf(reason, from, datagram))
	}
}

// takeSample returns the sample of a reason, and leaves room for the next.
func (s *Source) takeSample(reason string) *sample {
	if kept := s.samples[reason]; kept != nil {
		return kept.Swap(nil)
	}
	return nil
}

func (s *Source) drop(reason string, n int) {
	s.dropped[reason].Add(uint64(n))
}

// publish empties the queue until it is closed and empty.
func (s *Source) publish(ctx context.Context) {
	for batch, ids := s.queue.take(); batch != nil; batch, ids = s.queue.take() {
		repeated, err := s.publishBatch(ctx, ids, batch)
		stored := len(batch) - repeated
		if err != nil {
			stored = 0
			if partial, ok := errors.AsType[*hub.PartialError](err); ok {
				stored = partial.Stored
			}
		}
		s.events.Add(uint64(stored))
		s.drop(droppedReplayed, repeated)
		s.drop(droppedEngine, len(batch)-repeated-stored)
		s.queue.done(batch)
	}
}

func (s *Source) publishBatch(ctx context.Context, ids []string, batch []*hub.Event) (repeated int, err error) {
	if ids != nil {
		return s.cfg.PublishUnique(ctx, ids, batch...)
	}
	_, err = s.cfg.Publish(ctx, batch...)
	return 0, err
}
