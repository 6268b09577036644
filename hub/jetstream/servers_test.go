package jetstream

import (
	"os"
	"testing"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a cluster take a long time")
	}
	c := startCluster(t, 3)
	enginetest.Run(t, os.Getenv("TRIVIUM_LONG") != "", func(t *testing.T, keep hub.Retention) hub.Engine { return newEngine(t, c.config(keep)) })
	t.Parallel()
	for name, run := range map[string]func(*testing.T, *cluster){"shared": testShared, "unique": testUnique, "erased": testErased} {
		t.Run(name, func(t *testing.T) { run(t, c) })
	}
	c.deleteStreams()
	t.Run("damaged", func(t *testing.T) { testDamaged(t, c) }) // last, because it stops servers
}

func TestOneServer(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	for _, row := range []struct {
		name string
		run  func(*testing.T, *cluster)
		long bool
	}{
		{"shared", testShared, false}, {"keys", testKeys, false}, {"unique", testUnique, false}, {"settings", testStreamSettings, false},
		{"erase forged", testEraseForged, false}, {"deleted stream", testDeletedStream, false}, {"deleted before delivery", testDeletedBeforeDelivery, true}, {"stalled", testStalledServer, true},
	} {
		if row.long && testing.Short() {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.run(t, c)
		})
	}
}

// TestServerStops starts a separate server for each test, because each test stops or reconfigures its
// server.
func TestServerStops(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		run  func(*testing.T, *cluster)
		long bool
	}{
		{"lost events", testLostEvents, false}, {"reused sequences", testReusedSequences, true}, {"server restart", testServerRestart, false},
		{"disconnected hub", func(t *testing.T, c *cluster) { testDisconnectedHub(t, c); testErased(t, c) }, false},
	} {
		if row.long && testing.Short() {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.run(t, startCluster(t, 1))
		})
	}
}
