package testkit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// results simulates a test run that starts a goroutine and returns the exit code.
type results struct {
	code int
	end  <-chan time.Time // ends the goroutine
}

func (r results) Run() int {
	go func() { <-r.end }()
	return r.code
}

// TestRunWaitsForLateGoroutines checks that a goroutine may end late, and that Run returns the exit
// code of failed tests.
func TestRunWaitsForLateGoroutines(t *testing.T) {
	require.Zero(t, Run(results{0, time.After(time.Second)}))
	require.Equal(t, 3, Run(results{3, time.After(0)}))
}
