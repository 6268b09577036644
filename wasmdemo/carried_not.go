//go:build !embeddemo

package wasmdemo

import "github.com/trivium-hub/trivium/wasmdemo/internal/build"

// carriedProgram reports that no program is embedded.
func carriedProgram() (build.Result, bool) { return build.Result{}, false }
