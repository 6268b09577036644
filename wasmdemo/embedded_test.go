//go:build embeddemo

package wasmdemo

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEmbeddedBinary checks that an embedded binary is ready immediately, and that nothing is
// built.
func TestEmbeddedBinary(t *testing.T) {
	want, err := realBuild()
	require.NoError(t, err)
	d := New(Config{Checkout: os.DevNull})
	state, _ := d.State()
	require.Equal(t, Ready, state)
	d.Run(t.Context())
	require.True(t, bytes.Equal(want.Binary, d.find(binaryPath).compressed))
}
