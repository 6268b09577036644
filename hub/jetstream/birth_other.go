//go:build !linux

package jetstream

import "os"

// birthTime returns 0, because the creation time of a file is read only on Linux.
func birthTime(*os.File) int64 { return 0 }
