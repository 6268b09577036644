// Package js serves trivium.js, the client for browsers, and the modules beside it.
//
//	for _, path := range js.Paths() {
//		routes.Handle(path, js.Handler())
//	}
//
// A page imports it with import { connect } from "/trivium.js". The directory is also the source of the npm package.
// The package starts no goroutine.
package js

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

//go:embed dist/*.js dist/*.d.ts
var dist embed.FS

// file is a served file.
type file struct {
	contentType string
	content     []byte
	digest      string // digest of the content
}

// files holds the files by name.
var files = readFiles()

func readFiles() map[string]*file {
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // the files are embedded
	}
	read := make(map[string]*file, len(entries))
	for _, entry := range entries {
		content, err := dist.ReadFile("dist/" + entry.Name())
		if err != nil {
			panic(err) // as above
		}
		contentType := "text/javascript; charset=utf-8"
		if strings.HasSuffix(entry.Name(), ".d.ts") {
			contentType = "text/plain; charset=utf-8"
		}
		sum := sha256.Sum256(content)
		read[entry.Name()] = &file{contentType, content, hex.EncodeToString(sum[:8])}
	}
	return read
}

const scriptName = "trivium.js"

// Path returns a path that changes with the content of the script, such as /trivium-5f0c1a9be2d34788.js. Browsers may
// keep what Handler serves there for a year.
func Path() string { return "/trivium-" + files[scriptName].digest + ".js" }

// Paths returns the paths that Handler serves when it is mounted at the root: Path, /trivium.js, the modules that use it,
// such as /trivium-eventsource.js, and the TypeScript types of each.
func Paths() []string {
	paths := []string{Path()}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		paths = append(paths, "/"+name)
	}
	return paths
}

// Handler serves the files of Paths. It considers only the last element of the request's path, so
// it can be mounted anywhere.
func Handler() http.Handler {
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(0))
	if err != nil {
		panic(err) // never happens, because the options are constants
	}
	return compress(http.HandlerFunc(serve))
}

func serve(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	if name == path.Base(Path()) {
		files[scriptName].serve(w, r, "public, max-age=31536000, immutable")
	} else if f := files[name]; f != nil {
		f.serve(w, r, "no-cache")
	} else {
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
	h.Set("ETag", `W/"`+f.digest+`"`) // a weak tag, because it is the same with and without compression
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
