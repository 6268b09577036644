// Package js serves trivium.js, the client for browsers.
//
//	routes.Handle("/trivium.js", js.Handler())
//	routes.Handle("/trivium.d.ts", js.Handler())
//	routes.Handle(js.Path(), js.Handler())
//
// A page imports it with import { connect } from "/trivium.js". The directory is also the source of the npm package.
// The package starts no goroutine.
package js

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

//go:embed dist/trivium.js
var scriptContent []byte

//go:embed dist/trivium.d.ts
var typesContent []byte

// file is a served file.
type file struct {
	contentType string
	content     []byte
	digest      string // of the content
}

func newFile(contentType string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{contentType, content, hex.EncodeToString(sum[:8])}
}

var (
	script = newFile("text/javascript; charset=utf-8", scriptContent)
	types  = newFile("text/plain; charset=utf-8", typesContent)
)

// Path returns a path that changes with the content of the script, such as /trivium-5f0c1a9be2d34788.js. Browsers may
// keep what Handler serves there for a year.
func Path() string { return "/trivium-" + script.digest + ".js" }

// Handler serves the script as trivium.js and under the last element of Path, and its TypeScript types as trivium.d.ts.
// It looks at the last element of the request's path only, so it can be mounted anywhere.
func Handler() http.Handler {
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(0))
	if err != nil {
		panic(err) // the options are constants
	}
	return compress(http.HandlerFunc(serve))
}

func serve(w http.ResponseWriter, r *http.Request) {
	const revalidate = "no-cache"
	switch path.Base(r.URL.Path) {
	case "trivium.js":
		script.serve(w, r, revalidate)
	case path.Base(Path()):
		script.serve(w, r, "public, max-age=31536000, immutable")
	case "trivium.d.ts":
		types.serve(w, r, revalidate)
	default:
		http.NotFound(w, r)
	}
}

func (f *file) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "want GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Cache-Control", cache)
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", `W/"`+f.digest+`"`) // weak, as it is the same with and without compression
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
