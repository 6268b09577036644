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
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Reasons for losses, in addition to those of wire.RefusalReason.
const (
	droppedSender    = "sender"
	droppedSignature = "signature"
	droppedReplayed  = "replayed"
	droppedOverload  = "overload"
	droppedEngine    = "engine"
	droppedKernel    = "kernel"
)

const (
	defaultReadBuffer = 4 << 20  // bytes; 65 ms at 100,000 datagrams per second
	maxDatagram       = 64 << 10 // bytes; more than the largest datagram, so none is truncated
	flushTimeout      = 500 * time.Millisecond
)

// Config configures a Source. Addr, Format.Topic and Publish are required.
type Config struct {
	Addr          string // host:port; with port 0, the system chooses a free port. If the host is a multicast group, the source joins it (Linux)
	Interface     string // interface on which to join a multicast group; empty: the system chooses
	Format        Format // how the events of a datagram are derived
	MaxEventBytes int    // limit of an event's data; 0: hub.DefaultMaxEventSize
	ReadBuffer    int    // requested size of the socket's buffer in bytes; 0: 4 MiB
	// Allow lists the addresses of accepted senders; empty: all. An IPv4 address and its form
	// mapped to IPv6 (RFC 4291 section 2.5.5.2) are equal, both here and as a sender's address. The
	// zone of a sender's address is ignored.
	Allow []netip.Prefix
	// Secret is the key with which datagrams must be signed (docs/protocol.md#signed-datagrams);
	// nil: datagrams are not signed.
	Secret []byte
	// Skew is the maximum difference between the time of a signed datagram and the hub's clock, in
	// either direction; 0: DefaultSkew.
	Skew time.Duration
	// Publish publishes a batch of valid events, like hub.Hub.PublishEach. Calls are not
	// concurrent.
	Publish func(ctx context.Context, events ...*hub.Event) (hub.Cursor, error)
	// PublishUnique, if not nil, publishes the batches of signed datagrams instead of Publish, like
	// hub.Hub.PublishUnique. Its argument ids contains an ID for each event. Events that another
	// hub has already published are counted as replayed.
	PublishUnique func(ctx context.Context, ids []string, events ...*hub.Event) (repeated int, err error)
	Logger        *slog.Logger
}

// Source reads datagrams from a socket and publishes their events. Addr and Stats are safe for
// concurrent use.
type Source struct {
	// The following fields are static after Listen.
	cfg    Config
	format wire.DatagramFormat
	conn   *net.UDPConn

	queue     *queue
	datagrams atomic.Uint64
	events    atomic.Uint64
	dropped   map[string]*atomic.Uint64          // counts by reason; the map does not change
	samples   map[string]*atomic.Pointer[sample] // samples of dropped datagrams by reason; the map does not change
	kernel    kernelDrops

	// The goroutine that called Run owns the following fields.
	filter *packetFilter
	syslog *syslogParser // nil unless Format.Mode is Syslog
	parsed []*hub.Event  // events of the current datagram
}

// Stats are the counters of a source since Listen.
type Stats struct {
	Datagrams uint64            // datagrams read
	Events    uint64            // events published
	Dropped   map[string]uint64 // by reason (see the package comment); every reason is present
}

// Listen opens the socket. The caller must call Run, which reads the socket and closes it. The
// error names the invalid part of the configuration, or the reason why the system refused the
// address.
func Listen(cfg Config) (*Source, error) {
	if cfg.Addr == "" || cfg.Publish == nil {
		return nil, errors.New("udp: Config.Addr, Format.Topic and Publish are required")
	}
	format := cfg.Format.wire()
	if err := format.Validate(); err != nil {
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
		cfg.Logger.Warn("udp: read buffer is smaller than requested, so bursts may be lost; raise net.core.rmem_max",
			"bytes", got, "requested", cfg.ReadBuffer)
	}
	s := &Source{cfg: cfg, format: format, conn: conn, queue: newQueue(), filter: guard, dropped: make(map[string]*atomic.Uint64), samples: make(map[string]*atomic.Pointer[sample])}
	if cfg.Format.Mode == Syslog {
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

// Addr returns the local address.
func (s *Source) Addr() net.Addr { return s.conn.LocalAddr() }

// Stats returns the current counts. They are final after Run has returned.
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

// Run reads and publishes datagrams until ctx ends. Then it publishes the queued events and closes
// the socket. It must be called once. It returns nil, or an error of the socket.
func (s *Source) Run(ctx context.Context) error {
	// Publishing has another context, so that queued events are published after ctx has ended.
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
	// A deadline in the past interrupts the read without closing the socket, whose drop counter
	// must still be read.
	unwatch := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer unwatch()

	err := s.read(ctx)
	s.kernel.read(s.conn)
	_ = s.conn.Close() // the error is ignored, because nothing was written
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

// enqueue queues the events of a datagram that has passed the filter. The ID of an event is the
// datagram's ID and the event's index in the datagram.
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
	s.parsed = s.format.Parse(s.parsed[:0], text, func(reason string) { s.refuse(reason, from, datagram) })
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

// refuse counts a dropped datagram, or a dropped JSON text or line in it, and stores a sample for
// the log.
func (s *Source) refuse(reason string, from netip.AddrPort, datagram []byte) {
	s.drop(reason, 1)
	if kept := s.samples[reason]; kept.Load() == nil {
		kept.Store(sampleOf(reason, from, datagram))
	}
}

// takeSample removes and returns the sample of a reason.
func (s *Source) takeSample(reason string) *sample {
	if kept := s.samples[reason]; kept != nil {
		return kept.Swap(nil)
	}
	return nil
}

func (s *Source) drop(reason string, n int) {
	s.dropped[reason].Add(uint64(n))
}

// publish publishes the queued events until the queue is closed and empty.
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
