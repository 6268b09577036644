//go:build embeddemo

package wasmdemo

import (
	_ "embed" // for what go generate made

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// If these are not found, run: go generate ./wasmdemo
var (
	//go:embed dist/app.wasm.gz
	program []byte
	//go:embed dist/wasm_exec.js
	loader []byte
)

// carriedProgram is what go generate made.
func carriedProgram() (build.Result, bool) {
	return build.Result{Program: program, Loader: loader}, true
}
