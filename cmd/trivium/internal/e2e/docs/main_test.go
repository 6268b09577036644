package docs

import (
	"testing"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

func TestMain(m *testing.M) { hubtest.Main(m, nil) }
