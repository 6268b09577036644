package hubs

import (
	"testing"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
)

func TestMain(m *testing.M) {
	natstest.RunServer()
	hubtest.Main(m, nil)
}
