package wasmdemo

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// scratch is the path of a directory with files that all tests share.
var scratch string

func TestMain(m *testing.M) {
	const atOnce = "4" // the value of -parallel if it is not set; the tests spend most of their time waiting
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", atOnce) // cannot fail: the value is a number
	}
	var err error
	if scratch, err = os.MkdirTemp("", "trivium-demo-test-"); err != nil {
		panic(err)
	}
	code := testkit.Run(m)
	os.RemoveAll(scratch)
	os.Exit(code)
}

// patience is the timeout of every wait in a test. It is so long that it expires only if the test
// fails.
const patience = 4 * time.Minute

// realBuild builds the WebAssembly binary of this checkout, once for all tests.
var realBuild = sync.OnceValues(func() (build.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return build.Run(ctx, "..")
})

// files returns the files of a directory, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			var content []byte
			content, err = os.ReadFile(path)
			found[path] = string(content)
		}
		return err
	}))
	return found
}

// copyModule copies the packages of the page and of its tests to another directory.
func copyModule(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, name := range []string{"hub", "transports", "wasmdemo"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join("..", name))))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(root, "wasmdemo", "dist")))
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join("..", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, name), content, 0o644))
	}
	return root
}

// TestBuild builds the WebAssembly binary twice, the second time in another directory and in the
// background. Both binaries must be identical byte by byte and small enough, and no file may be
// left behind.
func TestBuild(t *testing.T) {
	want, err := realBuild()
	require.NoError(t, err)
	require.LessOrEqual(t, len(want.Binary), build.MaxBinary)
	require.Contains(t, string(want.Loader), "WebAssembly")

	root := copyModule(t)
	before := files(t, root)
	t.Setenv("TMPDIR", t.TempDir())
	var log bytes.Buffer
	d := New(Config{Checkout: root, Log: slog.New(slog.NewTextHandler(&log, nil))})
	state, detail := d.State()
	require.Equal(t, Building, state)
	require.NotEmpty(t, detail)
	require.Nil(t, d.find(binaryPath))
	d.Run(t.Context())
	state, detail = d.State()
	require.Equal(t, Ready, state, detail)
	require.Contains(t, log.String(), "the demo page is ready")
	require.True(t, bytes.Equal(want.Binary, d.find(binaryPath).compressed), "the build is not reproducible")
	require.Equal(t, before, files(t, root))
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestReleaseEmbedsBinary checks that a build with the tag embeddemo embeds the binary that go
// generate has created, and that the build fails if that binary is missing.
func TestReleaseEmbedsBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("the test builds a release, which takes a long time")
	}
	t.Parallel()
	root := copyModule(t)
	tool := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := tool("build", "-tags", "embeddemo", "./wasmdemo")
	require.Error(t, err)
	require.Contains(t, out, "pattern dist/app.wasm.gz: no matching files found")
	out, err = tool("generate", "./wasmdemo")
	require.NoError(t, err, out)
	out, err = tool("test", "-tags", "embeddemo", "-run", "^TestEmbeddedBinary$", "-v", "./wasmdemo")
	require.NoError(t, err, out)
	require.Contains(t, out, "--- PASS: TestEmbeddedBinary")
}

func TestBuildFails(t *testing.T) {
	for name, c := range map[string]struct {
		source, path string // "": unchanged
		want         []string
	}{
		"a compile error": {source: "package main\n\nfunc main() { undefined() }\n", want: []string{"wasmdemo/app/main.go:3:15: undefined: undefined"}},
		"no toolchain":    {source: emptyApp, path: t.TempDir(), want: []string{"the go command is not in PATH"}},
		"too large": {
			// The app embeds random bytes, which cannot be compressed.
			source: "package main\n\nimport _ \"embed\"\n\n//go:embed large\nvar large string\n\nfunc main() { println(large) }\n",
			want:   []string{"bytes after gzip, but must have at most 1200000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := fakeCheckout(t, goodMod, c.source)
			noise := make([]byte, 1_300_000)
			for i, x := 0, uint64(1); i < len(noise); i++ {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
				noise[i] = byte(x)
			}
			require.NoError(t, os.WriteFile(filepath.Join(root, "wasmdemo", "app", "large"), noise, 0o644))
			if c.path != "" {
				t.Setenv("PATH", c.path)
			}
			var log bytes.Buffer
			d := New(Config{Checkout: root, Log: slog.New(slog.NewTextHandler(&log, nil))})
			d.Run(t.Context())
			state, detail := d.State()
			require.Equal(t, Failed, state)
			for _, part := range c.want {
				require.Contains(t, detail, part)
			}
			require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"))
			require.Equal(t, 1, strings.Count(log.String(), "\n"))
		})
	}
}

func TestNoCheckoutNoBinary(t *testing.T) {
	d := New(Config{})
	d.Run(t.Context()) // returns immediately
	state, detail := d.State()
	require.Equal(t, Absent, state)
	require.Contains(t, detail, "go generate ./wasmdemo")
}
