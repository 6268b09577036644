package transporttest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
)

func TestMain(m *testing.M) {
	SetParallelism()
	testkit.Main(m)
}

// connect starts a subscription over path r, and requires that the hub does not refuse it.
func connect(t *testing.T, s *Server, r Path, ask Request) Client {
	t.Helper()
	c := r.New(s)
	t.Cleanup(c.Cut)
	require.NoError(t, c.Connect(ask))
	return c
}

// opened is like connect, and also reads the Open item. The second result is the ID of the Open item, the
// position at which the subscription begins.
func opened(t *testing.T, s *Server, r Path, ask Request) (Client, string) {
	t.Helper()
	c := connect(t, s, r, ask)
	item, err := c.Next()
	require.NoError(t, err)
	require.Equal(t, Open, item.Kind, "%+v", item)
	return c, item.ID
}

// hasOnlyPosition reports whether an item is an Open or a Heartbeat, which contain nothing but the
// position of the subscriber.
func hasOnlyPosition(item Item) bool { return item.Kind == Open || item.Kind == Heartbeat }

// read returns the next n items, not counting Open and Heartbeat items, which it discards.
func read(t *testing.T, c Client, n int) []Item {
	t.Helper()
	var items []Item
	for len(items) < n {
		item, err := c.Next()
		require.NoError(t, err, "after %d of %d items", len(items), n)
		if !hasOnlyPosition(item) {
			items = append(items, item)
		}
	}
	return items
}

// readTo reads up to and including the event with the given ID. It returns the items read, without Open
// and Heartbeat items.
func readTo(t *testing.T, c Client, id hub.Cursor) []Item {
	t.Helper()
	var items []Item
	for {
		items = append(items, read(t, c, 1)...)
		if last := items[len(items)-1]; last.ID == id.String() && last.Kind == Event {
			return items
		}
	}
}

// wanted returns the items that client c must receive for the given events.
func wanted(c Client, events ...*hub.Event) []Item {
	items := make([]Item, len(events))
	for i, e := range events {
		items[i] = Item{Kind: Event, ID: e.ID.String(), Topic: e.Topic, Type: e.Type, Data: c.ExpectedData(e)}
	}
	return items
}

// expect requires that the client receives the given events next, in this order.
func expect(t *testing.T, c Client, events ...*hub.Event) {
	t.Helper()
	require.Equal(t, wanted(c, events...), read(t, c, len(events)))
}

// refused requires that the hub refuses a subscription, and returns the refusal.
func refused(t *testing.T, s *Server, r Path, ask Request) *Refusal {
	t.Helper()
	c := r.New(s)
	defer c.Cut()
	err := c.Connect(ask)
	var refusal *Refusal
	require.True(t, errors.As(err, &refusal), "want a refusal, got %v", err)
	return refusal
}

// seq returns the sequence number in the ID of an item.
func seq(t *testing.T, item Item) uint64 {
	t.Helper()
	c, err := hub.ParseCursor(item.ID)
	require.NoError(t, err)
	return c.Seq
}
