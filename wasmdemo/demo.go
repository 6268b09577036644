package wasmdemo

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// Paths of the WebAssembly binary and its loader, below the page.
const (
	binaryPath = "app.wasm"
	loaderPath = "wasm_exec.js"
)

//go:embed static
var static embed.FS

// absentPage is shown if there is no WebAssembly binary. The page explains how to build one.
//
//go:embed absent.html
var absentPage []byte

// Config configures a Demo.
type Config struct {
	// Checkout is the root of the module with wasmdemo/app, as FindCheckout returns it; Run builds
	// the WebAssembly binary from it. If it is "", Run builds nothing. An embedded binary takes
	// precedence.
	Checkout string
	Log      *slog.Logger // nil: no log
	// WriteTimeout is the maximum time without progress in writing an answer; 0: unlimited.
	WriteTimeout time.Duration
	// Allow reports whether the request's method is one of methods. If not, it answers the request.
	// nil: a default that answers 405.
	Allow func(w http.ResponseWriter, r *http.Request, methods ...string) bool
	// NotFound answers requests for unknown paths; nil: http.NotFound.
	NotFound http.HandlerFunc
}

// State is the state of the WebAssembly binary.
type State string

// States. Building changes to Ready or Failed; the other states do not change.
const (
	Building State = "building"
	Ready    State = "ready"
	Failed   State = "failed"
	Absent   State = "absent"
)

// howTo explains how to get a binary.
const howTo = "this trivium was built without the WebAssembly binary of the page; either run it from a checkout: " +
	"go run ./cmd/trivium serve; or build it in: go generate ./wasmdemo && go build -tags embeddemo ./cmd/trivium"

// Demo is an http.Handler for the demo page at /demo and the paths below.
type Demo struct {
	cfg    Config
	pages  map[string]*asset // static pages by path below /demo/
	absent *asset

	mu     sync.Mutex // guards the fields below
	state  State
	detail string            // describes the state for users
	binary map[string]*asset // the binary and its loader by path below /demo/, once the state is Ready
}

// New returns a Demo. If a binary is embedded, the state is Ready. Otherwise it is Building until
// Run has built the binary, or Absent without a checkout.
func New(cfg Config) *Demo {
	if cfg.Allow == nil {
		cfg.Allow = allow
	}
	if cfg.NotFound == nil {
		cfg.NotFound = http.NotFound
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Demo{cfg: cfg, pages: readPages(), absent: newAsset("absent.html", absentPage)}
	embedded, ok := embeddedBinary()
	switch {
	case ok:
		d.setBinary(embedded)
	case cfg.Checkout != "":
		d.state, d.detail = Building, "the WebAssembly binary of the page is being built"
	default:
		d.state, d.detail = Absent, howTo
	}
	return d
}

// allow is the default of Config.Allow.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// readPages returns the static files. Each index.html is served at the path of its directory.
func readPages() map[string]*asset {
	pages := make(map[string]*asset)
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		below := strings.TrimSuffix(name[len("static/"):], "index.html")
		pages[below] = newAsset(name, content)
		return nil
	})
	if err != nil {
		panic(err) // the files are embedded, so reading cannot fail
	}
	return pages
}

// Run builds the binary if necessary. It returns when the build has ended. If ctx ends, it cancels
// the build and removes its files. A failed build is logged and shown on the page.
func (d *Demo) Run(ctx context.Context) {
	if state, _ := d.State(); state != Building {
		return
	}
	begin := time.Now()
	built, err := build.Run(ctx, d.cfg.Checkout)
	switch {
	case err == nil:
		d.setBinary(built)
		d.cfg.Log.Info("the demo page is ready", "gzip_bytes", len(built.Binary), "took", time.Since(begin).Round(time.Millisecond).String())
	case ctx.Err() != nil:
		d.setState(Failed, "the hub was stopped before the WebAssembly binary of the page was built", nil)
	default:
		d.setState(Failed, err.Error(), nil)
		d.cfg.Log.Error("the WebAssembly binary of the demo page could not be built", "error", err.Error())
	}
}

// setBinary makes a binary available.
func (d *Demo) setBinary(p build.Result) {
	d.setState(Ready, "", map[string]*asset{
		binaryPath: newCompressed("application/wasm", p.Binary),
		loaderPath: newAsset(loaderPath, p.Loader),
	})
}

func (d *Demo) setState(state State, detail string, binary map[string]*asset) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state, d.detail, d.binary = state, detail, binary
}

// State returns the state of the binary. detail describes why the binary is not available.
func (d *Demo) State() (state State, detail string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state, d.detail
}

// find returns the asset at a path below /demo/, or nil.
func (d *Demo) find(below string) *asset {
	d.mu.Lock()
	defer d.mu.Unlock()
	if below == "" && d.state == Absent {
		return d.absent
	}
	if a := d.binary[below]; a != nil {
		return a
	}
	return d.pages[below]
}
