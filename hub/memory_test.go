package hub_test

import (
	"os"
	"testing"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

func TestMemory(t *testing.T) {
	enginetest.Run(t, os.Getenv("TRIVIUM_LONG") != "", func(*testing.T, hub.Retention) hub.Engine { return hub.NewMemory() })
}
