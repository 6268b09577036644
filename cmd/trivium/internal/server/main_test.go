package server

import (
	"testing"

	"github.com/trivium-hub/trivium/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
