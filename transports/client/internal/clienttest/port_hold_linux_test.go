package clienttest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHoldPortReleasesOnce checks that a second release does not close a file that was opened after
// the first release.
func TestHoldPortReleasesOnce(t *testing.T) {
	_, release, err := holdPort()
	require.NoError(t, err)
	release()
	var files []*os.File
	for range 10 { // these get the lowest free descriptors, including the one that the socket had
		file, err := os.Open(os.DevNull)
		require.NoError(t, err)
		files = append(files, file)
	}
	release()
	for _, file := range files {
		require.NoError(t, file.Close())
	}
}
