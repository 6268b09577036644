//go:build !embeddemo

package wasmdemo

import "github.com/trivium-hub/trivium/wasmdemo/internal/build"

// embeddedBinary returns false, because no binary is embedded.
func embeddedBinary() (build.Result, bool) { return build.Result{}, false }
