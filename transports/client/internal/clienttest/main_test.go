//go:build !js

package clienttest

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivium-hub/trivium/hub/testkit"
)

const (
	// nativeParallel is the default of -parallel. It is high, because the tests spend most of their
	// time waiting.
	nativeParallel = "24"
	// jsParallel is the value of -parallel under Node.js and in a page, which have a single thread.
	jsParallel = "12"
)

func TestMain(m *testing.M) {
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", nativeParallel) // never fails: the value is a number
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // disables the log of toxiproxy
	var err error
	if built, err = os.MkdirTemp("", "trivium-clienttest-"); err != nil {
		panic(err)
	}
	code := testkit.Run(m,
		// The goroutine of a toxiproxy link never ends if its reader ends while the link is
		// writing.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"))
	os.RemoveAll(built)
	os.Exit(code)
}

// built is the directory of the binaries under test.
var built string

// hubBinary builds the hub.
var hubBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(built, "trivium.exe") // the suffix is required on Windows only
	return path, build(nil, path, "build", "../../../../cmd/trivium")
})

// suiteBinary builds these tests for js/wasm.
var suiteBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(built, "suite.wasm")
	return path, build([]string{"GOOS=js", "GOARCH=wasm"}, path, "test", "-c", "-vet=off", ".")
})

// build runs the go command. It also walks the source directories, so that go test discards cached
// results when a source has changed.
func build(env []string, path string, command ...string) error {
	for _, room := range []string{"hub", "auth", "transports", "cmd", "testdata/client"} {
		if err := filepath.WalkDir(filepath.Join("../../../..", room), func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	cmd := exec.Command("go", slices.Insert(command, 1, "-o", path)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// wasmLibrary returns the path of a file of the toolchain's js/wasm support.
func wasmLibrary(t *testing.T, file string) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", file)
}
