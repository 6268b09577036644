//go:build !linux

package jetstream

import "os"

// birthTime returns 0: on this system, creation times of files are not read.
func birthTime(*os.File) int64 { return 0 }
