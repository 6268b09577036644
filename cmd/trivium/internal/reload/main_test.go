package reload

import (
	"testing"

	"github.com/trivium-hub/trivium/hub/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
