//go:build !embeddemo

package wasmdemo

import "github.com/trivium-hub/trivium/wasmdemo/internal/build"

// carriedBinary returns false, because no binary is embedded.
func carriedBinary() (build.Result, bool) { return build.Result{}, false }
