package hub_test

import (
	"testing"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

func TestMemory(t *testing.T) {
	enginetest.Run(t, func(*testing.T) hub.Engine { return hub.NewMemory() })
}
