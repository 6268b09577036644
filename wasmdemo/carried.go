//go:build embeddemo

package wasmdemo

import (
	_ "embed" // embeds the files that go generate has created

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// If the compiler does not find these files, run: go generate ./wasmdemo
var (
	//go:embed dist/app.wasm.gz
	program []byte
	//go:embed dist/wasm_exec.js
	loader []byte
)

// carriedProgram returns the embedded program.
func carriedProgram() (build.Result, bool) {
	return build.Result{Program: program, Loader: loader}, true
}
