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

// Reasons for which datagrams or events are dropped, in addition to the results of wire.RefusalReason.
const (
	droppedSender    = "sender"
	droppedSignature = "signature"
	droppedReplayed  = "replayed"
	droppedOverload  = "overload"
	droppedEngine    = "engine"
	droppedKernel    = "kernel"
)

const (
	defaultReadBuffer = 4 << 20                // bytes; holds the datagrams of 65 ms at 100,000 per second
	maxDatagram       = 64 << 10               // bytes; larger than any datagram, so that none is truncated
	flushTimeout      = 500 * time.Millisecond // time for publishing queued events at shutdown
)

// Config configures a Source. Addr, Format.Topic and Publish are required.
type Config struct {
	// Addr is host:port. If the port is 0, the system chooses a free port. If the host is a multicast
	// group, the source joins the group (only on Linux).
	Addr          string
	Interface     string // network interface on which to join a multicast group; "": the system chooses
	Format        Format // determines which events a datagram contains
	MaxEventBytes int    // size limit for the data of an event, in bytes; 0: hub.DefaultMaxEventSize
	ReadBuffer    int    // requested size of the socket's buffer in the kernel, in bytes; 0: 4 MiB
	// Allow lists the addresses of allowed senders; empty: all senders are allowed. An IPv4 address is
	// equal to its IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2). The zone of a sender's address
	// is ignored.
	Allow []netip.Prefix
	// Secret is the key with which datagrams must be signed (docs/protocol.md#signed-datagrams);
	// nil: datagrams are not signed.
	Secret []byte
	// Skew is the maximum difference, in either direction, between the time of a signed datagram and
	// the hub's clock; 0: DefaultSkew.
	Skew time.Duration
	// Publish publishes a batch of valid events, like hub.Hub.PublishEach. The source does not call it
	// concurrently.
	Publish func(ctx context.Context, events ...*hub.Event) (hub.Cursor, error)
	// PublishUnique, if not nil, is called instead of Publish for events of signed datagrams. It must
	// behave like hub.Hub.PublishUnique. The argument ids contains an ID for each event. Events that
	// another hub has already published are counted as replayed.
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
	dropped   map[string]*atomic.Uint64          // counts by reason; the map itself does not change
	samples   map[string]*atomic.Pointer[sample] // samples of dropped datagrams by reason; the map itself does not change
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
	Dropped   map[string]uint64 // losses by reason, see the package comment; contains every reason, even if the count is 0
}

// Listen opens the socket. The caller must call Run, which reads the socket and closes it. If the
// configuration is invalid, the error names the invalid field. If the system refuses the address, the
// error contains the system's reason.
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

// Run reads and publishes datagrams until ctx ends or reading the socket fails. Then it publishes the
// queued events and closes the socket. It must be called once. If ctx has ended, it returns nil.
func (s *Source) Run(ctx context.Context) error {
	// The goroutine that publishes has another context, so that it can publish queued events after ctx
	// has ended.
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
	// A deadline in the past interrupts the read. The socket stays open, because the kernel's counter of
	// dropped datagrams must still be read.
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

// enqueue queues the events of a datagram that the filter has accepted. id is the ID of the datagram and
// of its first event. The ID of each further event is id, a dot, and the index of the event in the
// datagram.
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

// refuse counts a dropped datagram, JSON text or line. If no sample for the reason is stored, it stores
// one for the log.
func (s *Source) refuse(reason string, from netip.AddrPort, datagram []byte) {
	s.drop(reason, 1)
	if kept := s.samples[reason]; kept.Load() == nil {
		kept.Store(sampleOf(reason, from, datagram))
	}
}

// takeSample removes and returns the stored sample for a reason, or returns nil.
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
