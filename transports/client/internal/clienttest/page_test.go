//go:build !js

package clienttest

import (
	"net/http"
	"path/filepath"
	"strings"
)

// suitePage is the data for the template of the page that runs the suite.
type suitePage struct {
	binary string
	loader string            // wasm_exec.js
	Args   []string          `json:"args"`
	Env    map[string]string `json:"env"`
}

const (
	// pageFiles is the directory of the pages.
	pageFiles = "../../../../testdata/client"
	// triviumFile is the JavaScript client. Its parts are in the same directory.
	triviumFile = "../../js/dist/trivium.js"
)

func (h *harness) servePage(w http.ResponseWriter, r *http.Request) {
	switch file := r.PathValue("file"); file {
	case "suite.json":
		answer(w, h.suite.Load(), nil)
	case "suite.wasm":
		http.ServeFile(w, r, h.suite.Load().binary)
	case "wasm_exec.js":
		http.ServeFile(w, r, h.suite.Load().loader)
	default:
		dir := pageFiles
		if strings.HasPrefix(file, "trivium") {
			dir = filepath.Dir(triviumFile)
		}
		http.ServeFile(w, r, filepath.Join(dir, file))
	}
}
