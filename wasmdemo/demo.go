package wasmdemo

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// Where the program and its loader are served, below the page.
const (
	programPath = "app.wasm"
	loaderPath  = "wasm_exec.js"
)

//go:embed static
var static embed.FS

// absentPage stands in for the page where there is no program. It says how to get one without
// running anything.
//
//go:embed absent.html
var absentPage []byte

// Config is what a Demo is made of. Allow and NotFound are required.
type Config struct {
	// Checkout is the root of the module whose wasmdemo/app Run builds, as FindCheckout gives it;
	// "": Run builds nothing. A program that is carried goes before it.
	Checkout string
	Log      *slog.Logger // nil: nothing is logged
	// WriteTimeout is the longest that an answer may make no progress; 0: any time.
	WriteTimeout time.Duration
	// Allow reports whether the request's method is one of those named, and answers it if not.
	Allow func(w http.ResponseWriter, r *http.Request, methods ...string) bool
	// NotFound answers a request for what there is not.
	NotFound http.HandlerFunc
}

// State says whether the program can be had.
type State string

// The states. Building becomes one of the next two, the others stay.
const (
	Building State = "building"
	Ready    State = "ready"
	Failed   State = "failed"
	Absent   State = "absent"
)

// howTo tells whoever asks for a program that is not there.
const howTo = "this trivium was built without the page's program; either run it from a checkout: " +
	"go run ./cmd/trivium serve; or build it in: go generate ./wasmdemo && go build -tags embeddemo ./cmd/trivium"

// Demo is the page. It is an http.Handler of /demo and what is below it.
type Demo struct {
	cfg    Config
	pages  map[string]*asset // by path below /demo/
	absent *asset

	mu      sync.Mutex // over the rest
	state   State
	detail  string            // of the state, for people
	program map[string]*asset // once Ready, by path below /demo/
}

// New makes the page. The program is Ready at once if it is carried; what has to be built is
// Building until Run has done so.
func New(cfg Config) *Demo {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Demo{cfg: cfg, pages: readPages(), absent: newAsset("absent.html", absentPage)}
	carried, ok := carriedProgram()
	switch {
	case ok:
		d.take(carried)
	case cfg.Checkout != "":
		d.state, d.detail = Building, "the page's program is being built"
	default:
		d.state, d.detail = Absent, howTo
	}
	return d
}

// readPages reads the static files; index.html is that of /demo/ itself.
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
		below := name[len("static/"):]
		if below == "index.html" {
			below = ""
		}
		pages[below] = newAsset(name, content)
		return nil
	})
	if err != nil {
		panic(err) // they are part of the program
	}
	return pages
}

// Run builds the program if that is to be done, and returns when it is or, nothing of it being left,
// when ctx is done. Why it failed is logged, and shown on the page.
func (d *Demo) Run(ctx context.Context) {
	if state, _ := d.State(); state != Building {
		return
	}
	begin := time.Now()
	built, err := build.Run(ctx, d.cfg.Checkout)
	switch {
	case err == nil:
		d.take(built)
		d.cfg.Log.Info("the demo page is ready", "gzip_bytes", len(built.Program), "took", time.Since(begin).Round(time.Millisecond).String())
	case ctx.Err() != nil:
		d.settle(Failed, "the hub ended before the page's program was built", nil)
	default:
		d.settle(Failed, err.Error(), nil)
		d.cfg.Log.Error("the demo page's program could not be built", "error", err.Error())
	}
}

// take puts a program in place.
func (d *Demo) take(p build.Result) {
	d.settle(Ready, "", map[string]*asset{
		programPath: newCompressed("application/wasm", p.Program),
		loaderPath:  newAsset(loaderPath, p.Loader),
	})
}

func (d *Demo) settle(state State, detail string, program map[string]*asset) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state, d.detail, d.program = state, detail, program
}

// State says whether the program can be had, and if not, why.
func (d *Demo) State() (state State, detail string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state, d.detail
}

// find gives what is served at a path below /demo/, nil if there is nothing.
func (d *Demo) find(below string) *asset {
	d.mu.Lock()
	defer d.mu.Unlock()
	if below == "" && d.state == Absent {
		return d.absent
	}
	if a := d.program[below]; a != nil {
		return a
	}
	return d.pages[below]
}
