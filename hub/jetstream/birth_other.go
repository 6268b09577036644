//go:build !linux

package jetstream

import "os"

// birthTime returns 0: when a file was created is not read on this system.
func birthTime(*os.File) int64 { return 0 }
