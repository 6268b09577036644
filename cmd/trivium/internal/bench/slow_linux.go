package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stuffing is the number of bytes that are published to fill the buffers of a connection whose
	// subscriber does not read: the buffers of the hub, which are limited to about 250 KB, and the
	// receive buffer of the subscriber.
	stuffing = 640 << 10
	// stalledBuffer is the size that is set for the receive buffer of a subscriber that does not read,
	// in bytes. The kernel doubles it.
	stalledBuffer = 4096
)

// slow measures the latency of normal subscribers: first without other subscribers, then while there
// are also stalled subscribers, 1 % of the number of normal ones.
func (r *runner) slow(s spec) (*Result, error) {
	// The timeout is so long that the hub does not disconnect the stalled subscribers during the
	// measurement.
	d, err := r.hubSide(s, true, "--write-timeout", "10m")
	if err != nil {
		return nil, err
	}
	defer d.close()
	if err := d.open("the hub", s.transport, s.subscribers); err != nil {
		return nil, err
	}
	result := s.result()
	var without, with []*round
	for range s.rounds {
		one, err := d.warmed(s)
		if err != nil {
			return nil, err
		}
		without = append(without, one)
		if one, err = d.withStalled(s, result); err != nil {
			return nil, err
		}
		with = append(with, one)
	}
	if err := d.linger(); err != nil {
		return nil, err
	}
	result.Hub = figures(with)
	result.P99Ratio = medianOf(with, without, func(r *round) float64 { return r.micros(99) })
	d.closeSubscribers()
	result.Tally.add(d.tally)
	result.Gaps += d.gaps
	result.LoadCPU = loadShare(with)
	result.note("p99 without stalled subscribers: %s", micros(figures(without).P99))
	return result, nil
}

// withStalled measures a round while some subscribers do not read. Afterwards these subscribers read
// again, and must receive every event.
func (d *side) withStalled(s spec, result *Result) (*round, error) {
	p, err := d.plan(s.transport, max(1, s.subscribers/100))
	if err != nil {
		return nil, err
	}
	p.receiveBuffer = stalledBuffer
	stalled, err := d.r.load.connect("the stalled subscribers", p)
	defer stalled.close()
	if err != nil {
		return nil, err
	}
	for _, c := range stalled.conns {
		if err := d.r.load.epollCtl(c, unix.EPOLL_CTL_DEL, 0); err != nil {
			return nil, err
		}
	}
	first := d.source.head(0)
	for sent := 0; sent < stuffing; sent += burstSize * s.size {
		if err := d.source.publish(burstSize); err != nil {
			return nil, err
		}
		if err := d.drain(); err != nil {
			return nil, err
		}
	}
	one, err := d.warmed(s)
	if err != nil {
		return nil, err
	}
	bytes := int(d.source.head(0)-first) * s.size
	for _, c := range stalled.conns {
		if arrived, err := unix.IoctlGetInt(c.fd, unix.SIOCINQ); err != nil || arrived >= bytes {
			return nil, fmt.Errorf("a subscriber that does not read was not stalled: %d bytes arrived (%w)", arrived, err)
		}
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
		if err := d.r.load.epollCtl(c, unix.EPOLL_CTL_ADD, unix.EPOLLIN); err != nil {
			return nil, err
		}
	}
	missed := int64(d.source.head(0)-first) * int64(len(stalled.conns))
	if _, err := d.r.load.pump(patience, func() bool { return stalled.advanced >= missed }); err != nil {
		return nil, err
	}
	stalled.countLost(d.source.head)
	result.Tally.add(stalled.tally)
	result.Gaps += stalled.gaps
	return one, d.closeGroup(stalled)
}

// closeGroup closes a group. It then publishes an event, so that the hub notices the closed connections.
func (d *side) closeGroup(g *group) error {
	g.close()
	if err := d.source.publish(1); err != nil {
		return err
	}
	if err := d.drain(); err != nil {
		return err
	}
	return d.r.load.pumpFor(50 * time.Millisecond)
}
