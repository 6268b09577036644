package jetstream

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// TestSilentMajorityIsUnavailable checks that a leader that is cut off from most servers makes the
// stream unavailable after two checks, and that one answer makes it available again.
func TestSilentMajorityIsUnavailable(t *testing.T) {
	heard, silent := &jetstream.PeerInfo{Active: time.Second}, &jetstream.PeerInfo{Active: silentAfter}
	offline := &jetstream.PeerInfo{Offline: true}
	for _, row := range []struct {
		replicas []*jetstream.PeerInfo
		want     bool
	}{
		{nil, false},
		{[]*jetstream.PeerInfo{heard, heard}, false},
		{[]*jetstream.PeerInfo{heard, silent}, false},
		{[]*jetstream.PeerInfo{silent, silent}, true},
		{[]*jetstream.PeerInfo{offline, silent}, true},
		{[]*jetstream.PeerInfo{silent, silent, heard, heard}, false},
		{[]*jetstream.PeerInfo{silent, offline, silent, heard}, true},
	} {
		var s silence
		c := &jetstream.ClusterInfo{Replicas: row.replicas}
		require.NoError(t, s.check(c), "the first check with a silent majority is accepted")
		err := s.check(c)
		require.Equal(t, row.want, err != nil, "%v", row.replicas)
		if row.want {
			require.ErrorIs(t, err, errNoMajority)
			require.ErrorIs(t, s.check(c), errNoMajority)
		}
		require.NoError(t, s.check(&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{heard, heard}}))
		require.NoError(t, s.check(c), "the checks in which most servers are silent must be consecutive")
	}
	require.NoError(t, new(silence).check(nil), "a server without a cluster is never silent")
}

// TestNoMajorityRefusesPublishesAtOnce checks that publishers do not wait for an election if the
// leader is isolated.
func TestNoMajorityRefusesPublishesAtOnce(t *testing.T) {
	e, err := New(Config{Store: t.TempDir()})
	require.NoError(t, err)
	e.setUnavailable(errNotConnected)
	require.NoError(t, e.publishUnavailable(), "publishers wait while an election may be in progress")
	e.setUnavailable(errNoMajority)
	require.ErrorIs(t, e.publishUnavailable(), errNoMajority)
	e.setUnavailable(nil)
	require.NoError(t, e.publishUnavailable())
}
