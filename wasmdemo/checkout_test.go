package wasmdemo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeCheckout creates a module with the given go.mod and source of the binary, and returns its
// root.
func fakeCheckout(t *testing.T, gomod, source string) string {
	t.Helper()
	root := t.TempDir()
	app := filepath.Join(root, "wasmdemo", "app")
	require.NoError(t, os.MkdirAll(app, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(app, "main.go"), []byte(source), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte(gomod), 0o644))
	return root
}

const (
	goodMod  = "// Ours.\n\nmodule github.com/trivium-hub/trivium\n\ngo 1.26.0\n"
	emptyApp = "package main\n\nfunc main() {}\n"
)

func TestFindCheckout(t *testing.T) {
	const (
		byRun    = "/tmp/go-build1981808528/b001/exe/trivium"
		byCache  = "/var/cache/go-build/0e/0e21aeba5e0addfada76ef5144a172c5adf75c3151f76f080e1e7c9ca9dee4be-d/trivium"
		trimmed  = module + "/wasmdemo/checkout.go"
		fromHere = "" // stands for the path of a source file in the root
	)
	good := fakeCheckout(t, goodMod, emptyApp)
	withoutApp := fakeCheckout(t, goodMod, emptyApp)
	require.NoError(t, os.RemoveAll(filepath.Join(withoutApp, "wasmdemo")))
	for name, c := range map[string]struct {
		executable, root, source string
		found                    bool
	}{
		"by go run":                      {byRun, good, fromHere, true},
		"by go run, from cache":          {byCache, good, fromHere, true},
		"by go run, with .exe":           {byRun + ".exe", good, fromHere, true},
		"installed":                      {"/usr/local/bin/trivium", good, fromHere, false},
		"built in the checkout":          {good + "/trivium", good, fromHere, false},
		"a test":                         {"/tmp/go-build1981808528/b001/trivium.test", good, fromHere, false},
		"in a similar directory":         {"/tmp/go-build/b001/exe/trivium", good, fromHere, false},
		"below such a directory":         {byRun + "/bin/trivium", good, fromHere, false},
		"go run -trimpath":               {byRun, good, trimmed, false},
		"another module":                 {byRun, fakeCheckout(t, strings.Replace(goodMod, "trivium\n", "trivium/v2\n", 1), emptyApp), fromHere, false},
		"module line not the first line": {byRun, fakeCheckout(t, "module evil.test/x\n// \nmodule github.com/trivium-hub/trivium\n", emptyApp), fromHere, false},
		"module line in a comment":       {byRun, fakeCheckout(t, "// module github.com/trivium-hub/trivium\nmodule evil.test/x\n", emptyApp), fromHere, false},
		"without the app":                {byRun, withoutApp, fromHere, false},
		"removed":                        {byRun, filepath.Join(good, "gone"), fromHere, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(good) // the working directory must have no effect
			source := c.source
			if source == fromHere {
				source = filepath.Join(c.root, "wasmdemo", "checkout.go")
			}
			want := ""
			if c.found {
				want = c.root
			}
			require.Equal(t, want, findCheckout(c.executable, source))
		})
	}
	require.Empty(t, FindCheckout(), "a test binary has no checkout, because it was not built by go run")
}
