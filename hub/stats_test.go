package hub

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// partialEngine is an engine whose publishes fail with err.
type partialEngine struct {
	Engine
	err error
}

func (p *partialEngine) Publish(context.Context, []*Event) (Cursor, error) { return Cursor{}, p.err }
func (p *partialEngine) PublishEach(ctx context.Context, events []*Event) (Cursor, error) {
	return p.Publish(ctx, events)
}

// Stats.Refused counts only events that the engine did not store because it was unavailable.
func TestRefusedEventsAreCounted(t *testing.T) {
	unavailable := fmt.Errorf("%w: no leader", ErrUnavailable)
	three := func() []*Event { return []*Event{{Topic: "a"}, {Topic: "b"}, {Topic: "c"}} }
	for name, c := range map[string]struct {
		err     error
		refused uint64
	}{
		"stored":      {},
		"unavailable": {err: unavailable, refused: 3},
		"partial":     {err: &PartialError{Stored: 2, Err: unavailable}, refused: 1},
		"closed":      {err: ErrClosed},
		"invalid":     {err: &InvalidError{Parameter: "data"}},
	} {
		h := startHub(t, Config{Engine: &partialEngine{NewMemory(), c.err}})
		_, err := h.PublishEach(t.Context(), three()...)
		require.Equal(t, c.err, err)
		require.Equal(t, c.refused, h.Stats().Refused, name)
		_, err = h.PublishOnce(t.Context(), "s", "k", three()...)
		require.Equal(t, c.err, err)
		require.Equal(t, 2*c.refused, h.Stats().Refused, name)
		_, err = h.Publish(t.Context(), &Event{Topic: "not a topic"})
		require.Error(t, err)
		require.Equal(t, 2*c.refused, h.Stats().Refused, name)
	}
}
