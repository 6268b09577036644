package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trivium-hub/trivium/hub"
)

// peerTimeout is the timeout of a request to another hub.
const peerTimeout = 2 * time.Second

// peerSubject returns the subject on which the hub with the given ID receives requests. It is not one
// of the stream's subjects.
func (e *Engine) peerSubject(id string) string {
	return "_TRIVIUM." + e.cfg.Stream + ".peer." + id
}

// ServePeers makes the engine answer requests from the other hubs that use the stream, until Close is called.
// The function answer must not block. ServePeers must be called once, after Start.
func (e *Engine) ServePeers(id string, answer func(request []byte) []byte) error {
	if e.server != nil {
		return nil // no other hub uses an embedded server
	}
	_, err := e.conn.Subscribe(e.peerSubject(id), func(m *nats.Msg) {
		if err := m.Respond(answer(m.Data)); err != nil {
			e.cfg.Logger.Debug("cannot answer a request from another hub", "error", err.Error())
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", e.peerSubject(id), err)
	}
	return nil
}

// AskPeer sends a request to the hub that called ServePeers with the given ID, and returns its answer,
// or nil if there is no such hub. An error wraps hub.ErrUnavailable.
func (e *Engine) AskPeer(ctx context.Context, id string, request []byte) ([]byte, error) {
	switch {
	case e.server != nil:
		return nil, nil
	case !e.conn.IsConnected(): // the request would wait for the connection until it times out
		return nil, fmt.Errorf("%w: ask another hub: not connected", hub.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	answer, err := e.conn.RequestWithContext(ctx, e.peerSubject(id), request)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w: ask another hub: %w", hub.ErrUnavailable, err)
	}
	return answer.Data, nil
}
