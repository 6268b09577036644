//go:build embeddemo

package wasmdemo

import (
	_ "embed" // embeds the files that go generate has created

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// If the compiler does not find these files, run: go generate ./wasmdemo
var (
	//go:embed dist/app.wasm.gz
	wasm []byte
	//go:embed dist/wasm_exec.js
	loader []byte
)

// embeddedBinary returns the embedded binary.
func embeddedBinary() (build.Result, bool) {
	return build.Result{Binary: wasm, Loader: loader}, true
}
