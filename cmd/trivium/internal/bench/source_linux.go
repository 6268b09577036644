package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxArray is the maximum number of events in one request (docs/protocol.md#publishing-over-http).
const maxArray = 1000

// source publishes events to one server. Only one goroutine at a time may use it, except that other
// goroutines may read the field expected.
type source struct {
	clock   func() int64
	size    int
	streams uint32 // 0: one stream that all subscribers share
	fan     int64  // number of deliveries per event

	udp    *net.UDPConn // nil: HTTP
	client *http.Client
	url    string
	token  string

	heads      []uint32 // number of the next event of each stream; the index is the stream
	nextStream uint32   // stream of the next event
	event      []byte
	body       []byte
	expected   atomic.Int64 // number of deliveries that the published events must cause
}

// topicOf returns the topic of a stream.
func topicOf(stream uint32) string {
	if stream == 0 {
		return "bench"
	}
	return fmt.Sprintf("bench.%08x", stream)
}

func newSource(l *load, s spec, streams uint32) *source {
	fan := int64(s.subscribers) // deliveries per event
	if streams > 0 {
		fan = 1
	}
	return &source{clock: l.clock, size: s.size, streams: streams, fan: fan, heads: make([]uint32, streams+1)}
}

// overUDP makes the source publish by UDP.
func (s *source) overUDP(address string) error {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	s.udp = conn.(*net.UDPConn)
	return nil
}

// overHTTP makes the source publish over HTTP.
func (s *source) overHTTP(base, token string) {
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: patience}
	s.url, s.token = base+"/publish", token
}

func (s *source) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

func (s *source) head(stream uint32) uint32 { return s.heads[stream] }

// next returns the envelope of the next event.
func (s *source) next() []byte {
	stream := uint32(0)
	if s.streams > 0 {
		stream = 1 + s.nextStream%s.streams
		s.nextStream++
	}
	s.event = append(s.event[:0], `{"topic":"`...)
	s.event = append(s.event, topicOf(stream)...)
	s.event = append(s.event, `","data":`...)
	at := len(s.event)
	s.event = append(s.event, make([]byte, s.size)...)
	stamp{stream: stream, seq: s.heads[stream], sent: s.clock()}.put(s.event[at:])
	s.event = append(s.event, '}')
	s.heads[stream]++
	return s.event
}

// publish publishes the next n events. The time stamp of an event is the time directly before its datagram is sent or
// before it is added to the body of a request.
func (s *source) publish(n int) error {
	if s.udp != nil {
		for range n {
			s.expected.Add(s.fan)
			if _, err := s.udp.Write(s.next()); err != nil {
				return fmt.Errorf("publish by UDP: %w", err)
			}
		}
		return nil
	}
	for n > 0 {
		some := min(n, maxArray)
		s.body = append(s.body[:0], '[')
		for i := range some {
			if i > 0 {
				s.body = append(s.body, ',')
			}
			s.body = append(s.body, s.next()...)
		}
		s.body = append(s.body, ']')
		s.expected.Add(int64(some) * s.fan)
		if err := s.post(s.body); err != nil {
			return err
		}
		n -= some
	}
	return nil
}

func (s *source) post(body []byte) error {
	r, err := http.NewRequest(http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("publish by HTTP: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(string(text))
	}
	if err != nil {
		return fmt.Errorf("publish by HTTP: %w", err)
	}
	return nil
}

// pace publishes n events at the given rate. If n is 0, it publishes until the context is canceled,
// and then returns nil. It sleeps by system calls in a locked thread, because timers of the Go
// runtime are accurate only to a millisecond.
func (s *source) pace(ctx context.Context, rate, n int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := s.clock()
	for i := 0; n == 0 || i < n; {
		due := start + int64(i)*int64(time.Second)/int64(rate)
		if wait := due - s.clock(); wait > 0 {
			t := unix.NsecToTimespec(min(wait, int64(100*time.Millisecond)))
			_ = unix.Nanosleep(&t, nil) // a signal may end the sleep early; the loop checks the time again
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		late := int((s.clock() - due) * int64(rate) / int64(time.Second))
		some := min(1+late, maxArray)
		if n > 0 {
			some = min(some, n-i)
		}
		if err := s.publish(some); err != nil || ctx.Err() != nil {
			return err
		}
		i += some
	}
	return nil
}
