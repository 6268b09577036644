package clienttest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHoldPortReleasesOnce checks that a second release closes no file that was opened after the first.
func TestHoldPortReleasesOnce(t *testing.T) {
	_, release, err := holdPort()
	require.NoError(t, err)
	release()
	var files []*os.File
	for range 10 { // the lowest free numbers, so one of them is that of the socket
		file, err := os.Open(os.DevNull)
		require.NoError(t, err)
		files = append(files, file)
	}
	release()
	for _, file := range files {
		require.NoError(t, file.Close())
	}
}
