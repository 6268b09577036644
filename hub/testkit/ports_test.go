package testkit

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPortsDiffer checks that tests which run at the same time have different ports. Two of so many
// random ports are almost always the same.
func TestPortsDiffer(t *testing.T) {
	const tests, each = 40, 20
	seen := map[int]bool{}
	for range tests {
		for _, port := range FreePorts(t, each) {
			seen[port] = true
		}
	}
	require.Len(t, seen, tests*each)
}
