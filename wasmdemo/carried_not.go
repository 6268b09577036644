//go:build !embeddemo

package wasmdemo

import "github.com/trivium-hub/trivium/wasmdemo/internal/build"

// carriedProgram returns false, because no program is embedded.
func carriedProgram() (build.Result, bool) { return build.Result{}, false }
