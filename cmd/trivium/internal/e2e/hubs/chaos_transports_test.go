//go:build unix

package hubs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/hub"
)

// movingSubscriber is a subscriber that connects to one hub after the other. At each hub, it resumes with its cursor.
type movingSubscriber struct {
	chaos  *chaos
	i      int
	cursor string
	last   uint64
	broken bool // an error of this subscriber was already reported
}

// take records a received event and checks that it is newer than all events received before.
func (s *movingSubscriber) take(id string, data string) {
	cursor, err := hub.ParseCursor(id)
	text, err2 := strconv.Unquote(data)
	if err != nil || err2 != nil || cursor.Seq <= s.last {
		s.fail("received event %s with data %s after the event with seq %d", id, data, s.last)
		return
	}
	s.last, s.cursor = cursor.Seq, id
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	s.chaos.seen[s.i] = append(s.chaos.seen[s.i], observation{cursor.Seq, text})
}

func (s *movingSubscriber) gap(what any) { s.fail("gap after %s: %v", s.cursor, what) }

func (s *movingSubscriber) fail(format string, args ...any) {
	if !s.broken {
		s.chaos.t.Errorf("subscriber %d, %v: %s", s.i, time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
	}
	s.broken = true
}

func (s *movingSubscriber) get(ctx context.Context, url string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.chaos.client.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("status %s", response.Status)
	}
	return response.Body, nil
}

func (s *movingSubscriber) poll(ctx context.Context, where string) error {
	for {
		body, err := s.get(ctx, "http://"+where+"/poll?wait=1&topic=c.*&max=200&cursor="+s.cursor)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(body)
		body.Close()
		if err != nil {
			return err
		}
		answer, err := decode.DecodePollAnswer(text)
		if err != nil {
			return err
		}
		if answer.Gap != nil {
			s.gap(answer.Gap)
		}
		for _, e := range answer.Events {
			s.take(e.ID.String(), string(e.Data))
		}
		s.cursor = answer.Cursor
	}
}

func (s *movingSubscriber) sse(ctx context.Context, where string) error {
	body, err := s.get(ctx, "http://"+where+"/sse?topic=c.*&cursor="+s.cursor)
	if err != nil {
		return err
	}
	defer body.Close()
	stream := decode.NewSSEDecoder(body)
	for {
		next, err := stream.Next()
		switch {
		case err != nil:
			return err
		case next.Type == "trivium.gap":
			s.gap(next)
		case next.Topic != "":
			s.take(next.ID, next.Data)
		default:
			s.cursor = next.ID
		}
	}
}

func (s *movingSubscriber) websocket(ctx context.Context, where string) error {
	conn, _, err := websocket.Dial(ctx, "ws://"+where+"/ws?topic=c.*&cursor="+s.cursor, &websocket.DialOptions{HTTPClient: s.chaos.client})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }() // the subscriber then connects to another hub
	conn.SetReadLimit(4 << 20)
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		m, err := decode.DecodeMessage(text)
		switch {
		case err != nil:
			return err
		case m.Event != nil:
			s.take(m.Event.ID.String(), string(m.Event.Data))
		case m.Op == decode.OpGap:
			s.gap(string(text))
		case m.Op == decode.OpHeartbeat:
			s.cursor = m.ID
		}
	}
}
