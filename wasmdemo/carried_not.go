//go:build !embeddemo

package wasmdemo

import "github.com/trivium-hub/trivium/wasmdemo/internal/build"

// carriedProgram is none.
func carriedProgram() (build.Result, bool) { return build.Result{}, false }
