//go:build embeddemo

package wasmdemo

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEmbeddedProgram checks that an embedded program is ready at once, and that nothing is built.
func TestEmbeddedProgram(t *testing.T) {
	want, err := realBuild()
	require.NoError(t, err)
	d := New(Config{Checkout: os.DevNull})
	state, _ := d.State()
	require.Equal(t, Ready, state)
	d.Run(t.Context())
	require.True(t, bytes.Equal(want.Program, d.find(programPath).compressed))
}
