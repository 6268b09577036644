// Package js serves trivium.js, the client for browsers, and the modules beside it.
//
//	for _, path := range js.Paths() {
//		routes.Handle(path, js.Handler())
//	}
//
// A page imports it with import { connect } from "/trivium.js". That file imports its parts, such as
// trivium-publish.js, from the same directory when it needs them. The directory is also the source of the npm package.
// The package starts no goroutine.
package js

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"maps"
	"net/http"
	"path"
	"regexp"
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
			panic(err) // the files are embedded, so they can be read
		}
		contentType := "text/javascript; charset=utf-8"
		if strings.HasSuffix(entry.Name(), ".d.ts") {
			contentType = "text/plain; charset=utf-8"
		}
		read[entry.Name()] = newFile(contentType, content)
	}
	return read
}

func newFile(contentType string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{contentType, content, hex.EncodeToString(sum[:8])}
}

const scriptName = "trivium.js"

// Path returns a path that changes with the content of the script, such as /trivium-5f0c1a9be2d34788.js. Browsers may
// cache its content for a year.
func Path() string { return "/trivium-" + files[scriptName].digest + ".js" }

// Paths returns the paths that Handler serves when it is mounted at the root: Path, /trivium.js, its parts, the modules
// that use it, such as /trivium-eventsource.js, and the TypeScript types of all of them.
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
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(0), gzhttp.CompressionLevel(gzip.BestCompression))
	if err != nil {
		panic(err) // never happens, because the options are constants
	}
	return compress(http.HandlerFunc(serve))
}

// partsVersion is the version of the parts that the script imports.
var partsVersion = string(regexp.MustCompile(`\?v=([0-9a-f]{16})&`).FindSubmatch(files[scriptName].content)[1])

// outdated is the answer to a request for a part with a version other than partsVersion. A script that
// was loaded before an upgrade of the hub sends such requests. It cannot use the current parts.
var outdated = newFile("text/javascript; charset=utf-8", []byte(`export default () => {
  throw Object.assign(new Error("trivium.js has changed: reload the page"), { name: "TriviumError", code: "version", temporary: false })
}
`))

func serve(w http.ResponseWriter, r *http.Request) {
	const (
		revalidate = "no-cache"
		immutable  = "public, max-age=31536000, immutable"
	)
	name := path.Base(r.URL.Path)
	f := files[name]
	version := r.URL.Query().Get("v")
	switch {
	case name == path.Base(Path()):
		files[scriptName].serve(w, r, immutable)
	case f == nil:
		http.NotFound(w, r)
	case version == "":
		if name == scriptName {
			w.Header().Set("Content-Location", path.Base(Path()))
		}
		f.serve(w, r, revalidate)
	case version == partsVersion:
		f.serve(w, r, immutable)
	default:
		outdated.serve(w, r, "no-store") // not cached, because another hub may serve the part during an upgrade
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
