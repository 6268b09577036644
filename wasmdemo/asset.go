package wasmdemo

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// contentTypes holds the content types by file extension, so that they do not depend on the system.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".png":  "image/png",
	".svg":  "image/svg+xml",
}

// asset is a served file. It is kept compressed.
type asset struct {
	contentType string
	tag         string // ETag, derived from the content
	compressed  []byte
	plain       func() ([]byte, error) // returns the uncompressed content
}

// newAsset returns an asset with the content of an embedded file. A test checks that contentTypes
// contains the extensions of all embedded files.
func newAsset(name string, content []byte) *asset {
	compressed, err := build.Compress(content)
	if err != nil {
		panic(err) // writes to memory cannot fail
	}
	a := newCompressed(contentTypes[path.Ext(name)], compressed)
	a.plain = func() ([]byte, error) { return content, nil }
	return a
}

// newCompressed returns an asset of gzip-compressed content.
func newCompressed(contentType string, compressed []byte) *asset {
	sum := sha256.Sum256(compressed)
	return &asset{
		contentType: contentType,
		tag:         hex.EncodeToString(sum[:16]),
		compressed:  compressed,
		plain: sync.OnceValues(func() ([]byte, error) {
			reader, err := gzip.NewReader(bytes.NewReader(compressed))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(reader)
		}),
	}
}

// serve answers GET and HEAD. Browsers must revalidate a cached asset before each use, because a
// rebuilt hub, or another hub on the same port, may serve another version.
func (a *asset) serve(w http.ResponseWriter, r *http.Request, writeTimeout time.Duration) {
	h := w.Header()
	content, tag := a.compressed, `"`+a.tag+`-gzip"`
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
	} else {
		plain, err := a.plain()
		if err != nil {
			http.Error(w, "the asset is damaged", http.StatusInternalServerError)
			return
		}
		content, tag = plain, `"`+a.tag+`"`
	}
	h.Set("ETag", tag)
	h.Add("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if matches(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		write(w, content, writeTimeout)
	}
}

// chunk is the number of bytes per write. The write timeout applies to each chunk, not to the whole
// answer.
const chunk = 16 << 10

// write writes p to the client. It returns early if a chunk takes longer than the timeout, or if
// the client has disconnected.
func write(w http.ResponseWriter, p []byte, timeout time.Duration) {
	controller := http.NewResponseController(w)
	for len(p) > 0 {
		if timeout > 0 {
			// The error is ignored. It occurs only in tests whose connections do not support
			// deadlines. Writes to these connections do not block.
			_ = controller.SetWriteDeadline(time.Now().Add(timeout))
		}
		n, err := w.Write(p[:min(len(p), chunk)])
		if err == nil {
			err = controller.Flush()
		}
		if err != nil {
			return
		}
		p = p[n:]
	}
	_ = controller.SetWriteDeadline(time.Time{}) // the connection may serve further requests
}

// acceptsGzip reports whether Accept-Encoding permits gzip (RFC 9110, section 12.5.3). A weight for
// gzip takes precedence over one for *.
func acceptsGzip(lines []string) bool {
	named, wildcard := -1.0, 0.0
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			coding, parameters, _ := strings.Cut(element, ";")
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				named = max(named, weight(parameters))
			case "*":
				wildcard = weight(parameters)
			}
		}
	}
	if named >= 0 {
		return named > 0
	}
	return wildcard > 0
}

// weight returns the weight q (RFC 9110, section 12.4.2). An invalid weight is 0.
func weight(parameters string) float64 {
	if strings.TrimSpace(parameters) == "" {
		return 1
	}
	name, value, _ := strings.Cut(parameters, "=")
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if !strings.EqualFold(strings.TrimSpace(name), "q") || err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

// matches reports whether If-None-Match contains the tag (RFC 9110, section 13.1.2), by weak
// comparison. The hub's tags contain no comma.
func matches(lines []string, tag string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			element = strings.TrimSpace(element)
			if element == "*" || strings.TrimPrefix(element, "W/") == tag {
				return true
			}
		}
	}
	return false
}
