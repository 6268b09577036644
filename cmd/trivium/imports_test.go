package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module     = "github.com/trivium-hub/trivium"
	moduleRoot = "../.." // the root of the module, relative to this directory
)

// goPackage is the output of `go list -json` for a package.
type goPackage struct {
	ImportPath string
	Name       string
	Dir        string
	Standard   bool
	GoFiles    []string
	Imports    []string // imports of GoFiles only; test files may import other packages
	Deps       []string
}

// folder returns the directory of a package of this module, relative to the root of the module.
func folder(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

// within reports whether folder is the directory dir or is below it.
func within(folder, dir string) bool { return folder == dir || strings.HasPrefix(folder, dir+"/") }

// goList returns the packages that match the patterns and all their dependencies, for a target platform. The
// keys of the map are import paths.
func goList(t *testing.T, goos, goarch string, patterns ...string) map[string]goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Name,Dir,Standard,GoFiles,Imports,Deps"}, patterns...)...)
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %s", exit.Stderr)
	}
	require.NoError(t, err)
	packages := map[string]goPackage{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else {
			require.NoError(t, err)
		}
		packages[p.ImportPath] = p
	}
}

// importRule applies to the packages in dir and in the directories below it. It lists the packages of this
// module that they may import.
type importRule struct {
	dir     string
	allowed []string // directories; packages in them and below may be imported
	any     bool     // all packages may be imported
	exact   bool     // the rule applies to dir only, not to the directories below it
}

// importRules are the import rules. If several rules match the directory of a package, the first one applies.
// Packages with test helpers may import all packages, as test files may.
var importRules = []importRule{
	{dir: "cmd/trivium/internal/settings", allowed: []string{"hub", "auth", "transports", "cmd/trivium/internal/terminal"}},
	{dir: "cmd/trivium/internal/reload", allowed: []string{"cmd/trivium/internal/settings", "cmd/trivium/internal/stats"}},
	{dir: "cmd/trivium/internal/stats", allowed: []string{"hub"}},
	{dir: "cmd", any: true},
	{dir: "hub/enginetest", any: true},
	{dir: "hub/testkit"},
	{dir: "hub/jsonscan"},
	{dir: "transports/internal/transporttest", any: true},
	{dir: "hub", allowed: []string{"hub"}},
	{dir: "transports/client/internal/clienttest", any: true},
	{dir: "transports/client", allowed: []string{"hub", "transports/problems", "transports/internal/wire", "transports/client"}},
	{dir: "transports/internal/jsontest", allowed: []string{"hub/jsonscan"}},
	{dir: "transports/internal/intake"},
	{dir: "transports/internal/wire", allowed: []string{"hub", "transports/problems"}},
	{dir: "transports/internal/connection", allowed: []string{"hub", "auth", "transports/problems", "transports/internal/wire"}},
	{dir: "transports/internal/web", allowed: []string{"hub", "auth", "transports/problems", "transports/internal/wire"}},
	{dir: "transports/problems", allowed: []string{"hub"}},
	{dir: "transports", exact: true, allowed: []string{"hub", "auth", "transports"}},
	{dir: "transports/udp", allowed: []string{"hub", "transports/internal/wire"}},
	{dir: "transports", allowed: []string{"hub", "auth", "transports/problems", "transports/internal"}},
	{dir: "auth", allowed: []string{"hub", "transports/problems", "auth"}},
	{dir: "wasmdemo/app", allowed: []string{"transports/client", "hub", "wasmdemo/app"}},
	{dir: "wasmdemo", allowed: []string{"wasmdemo/internal"}},
}

// importFault returns the reason why one package must not import another, or "" if it may.
func importFault(importer, imported string) string {
	i := slices.IndexFunc(importRules, func(r importRule) bool { return within(importer, r.dir) && (!r.exact || importer == r.dir) })
	switch {
	case i < 0:
		return "no import rule applies to this directory"
	case importRules[i].any:
		return ""
	case imported == "github.com/gorilla/mux" || imported == "flag":
		return "only cmd may import " + imported
	case !ours(imported):
		return ""
	case !slices.ContainsFunc(importRules[i].allowed, func(dir string) bool { return within(folder(imported), dir) }):
		return "must not import " + folder(imported)
	}
	return ""
}

func TestImportsFollowRules(t *testing.T) {
	t.Parallel()
	packages := goList(t, "linux", "amd64", "./...")
	require.Contains(t, packages, module+"/hub")
	for _, p := range packages {
		if !ours(p.ImportPath) {
			continue
		}
		for _, imported := range p.Imports {
			if fault := importFault(folder(p.ImportPath), imported); fault != "" {
				t.Errorf("%s: %s", folder(p.ImportPath), fault)
			}
		}
	}
}

// The core packages use only the standard library and package uuid, and do not use the network. They
// are also part of the WebAssembly client, so they must not depend on net/http.
func TestCoreImportsNoNetwork(t *testing.T) {
	t.Parallel()
	for _, target := range []struct{ goos, goarch string }{{"linux", "amd64"}, {"js", "wasm"}} {
		packages := goList(t, target.goos, target.goarch, "./hub", "./transports/internal/wire", "./transports/problems")
		for _, name := range []string{"hub", "transports/internal/wire", "transports/problems"} {
			p := packages[module+"/"+name]
			require.NotContains(t, p.Deps, "net/http", "%s for %s", name, target.goos)
			for _, dep := range p.Deps {
				allowed := packages[dep].Standard || ours(dep) || dep == "github.com/google/uuid"
				require.True(t, allowed, "%s needs %s", name, dep)
			}
		}
		for _, imported := range packages[module+"/hub"].Imports {
			require.NotEqual(t, "net", strings.Split(imported, "/")[0], "hub imports %s", imported)
		}
	}
}

// The WebAssembly client must not contain net/http and crypto/tls, because it uses the browser's HTTP
// client.
func TestPageHasNoHTTPClient(t *testing.T) {
	t.Parallel()
	packages := goList(t, "js", "wasm", "./transports/client", "./wasmdemo/app")
	for _, name := range []string{"transports/client", "wasmdemo/app"} {
		p, listed := packages[module+"/"+name]
		require.True(t, listed, name)
		for _, big := range []string{"net/http", "crypto/tls"} {
			require.NotContains(t, p.Deps, big, "%s for js", name)
		}
	}
}

// Only packages below cmd read environment variables. The import rules ensure the same for flags: other
// packages must not import package flag.
func TestOnlyTheCommandReadsTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, p := range goList(t, "linux", "amd64", "./...") {
		if !ours(p.ImportPath) || within(folder(p.ImportPath), "cmd") {
			continue
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(file, func(node ast.Node) bool {
				if call, ok := node.(*ast.SelectorExpr); ok && readsEnvironment(call) {
					t.Errorf("%s: only cmd reads the environment", files.Position(call.Pos()))
				}
				return true
			})
		}
	}
}

func readsEnvironment(call *ast.SelectorExpr) bool {
	from, ok := call.X.(*ast.Ident)
	return ok && (from.Name == "os" || from.Name == "syscall") &&
		slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, call.Sel.Name)
}

// importFault returns the expected results for examples of permitted and forbidden imports.
func TestImportRulesHaveCases(t *testing.T) {
	tests := []struct {
		importer, imported string
		want               string
	}{
		{"hub", "context", ""},
		{"hub", module + "/transports/internal/wire", "must not import transports/internal/wire"},
		{"hub/enginetest", module + "/hub", ""},
		{"hub/testkit", "go.uber.org/goleak", ""},
		{"hub/testkit", module + "/hub", "must not import hub"},
		{"transports/internal/wire", module + "/hub", ""},
		{"transports/internal/wire", module + "/transports/problems", ""},
		{"transports/problems", module + "/transports/internal/wire", "must not import transports/internal/wire"},
		{"hub/jsonscan", module + "/hub", "must not import hub"},
		{"transports/internal/wire", module + "/transports/internal/connection", "must not import transports/internal/connection"},
		{"transports/internal/connection", module + "/transports/internal/web", "must not import transports/internal/web"},
		{"transports/internal/web", module + "/transports/internal/wire", ""},
		{"transports/internal/web", module + "/transports/sse", "must not import transports/sse"},
		{"transports/sse", module + "/transports/internal/web", ""},
		{"transports/sse", module + "/transports/longpoll", "must not import transports/longpoll"},
		{"transports/udp", module + "/auth", "must not import auth"},
		{"transports", module + "/auth", ""},
		{"transports", module + "/transports/sse", ""},
		{"transports", module + "/cmd/trivium", "must not import cmd/trivium"},
		{"transports/udp", module + "/hubris", "must not import hubris"},
		{"transports/udp", "flag", "only cmd may import flag"},
		{"transports/internal/transporttest", module + "/transports/sse", ""},
		{"auth", module + "/hub", ""},
		{"auth", module + "/transports/problems", ""},
		{"auth", module + "/transports/internal/web", "must not import transports/internal/web"},
		{"auth", "github.com/gorilla/mux", "only cmd may import github.com/gorilla/mux"},
		{"transports/client", module + "/transports/internal/wire", ""},
		{"transports/client", module + "/transports/internal/connection", "must not import transports/internal/connection"},
		{"transports/client/internal/clienttest", module + "/cmd/trivium", ""},
		{"wasmdemo", module + "/wasmdemo/internal/build", ""},
		{"wasmdemo", module + "/transports/internal/web", "must not import transports/internal/web"},
		{"wasmdemo/app", module + "/transports/client", ""},
		{"wasmdemo/app", module + "/wasmdemo", "must not import wasmdemo"},
		{"cmd/trivium", "github.com/gorilla/mux", ""},
		{"cmd/trivium", module + "/auth", ""},
		{"cmd/trivium/internal/settings", module + "/auth", ""},
		{"cmd/trivium/internal/settings", module + "/cmd/trivium/internal/server", "must not import cmd/trivium/internal/server"},
		{"cmd/trivium/internal/reload", module + "/cmd/trivium/internal/settings", ""},
		{"cmd/trivium/internal/reload", module + "/cmd/trivium/internal/server", "must not import cmd/trivium/internal/server"},
		{"cmd/trivium/internal/stats", module + "/hub", ""},
		{"cmd/trivium/internal/stats", module + "/transports", "must not import transports"},
		{"", "context", "no import rule applies to this directory"},
		{"util", "context", "no import rule applies to this directory"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, importFault(tt.importer, tt.imported), "%s imports %s", tt.importer, tt.imported)
	}
}

// publicPackages lists the packages that other programs can import.
var publicPackages = []string{
	"hub", "hub/jetstream", "hub/enginetest", "hub/jsonscan", "hub/testkit", "auth",
	"transports", "transports/problems", "transports/client",
	"transports/sse", "transports/websocket", "transports/longpoll", "transports/publish", "transports/udp",
	"transports/client/js", // the client for browsers
	"wasmdemo",             // cmd/trivium imports it
}

// The packages that other programs can import are exactly those in publicPackages.
func TestPublicPackages(t *testing.T) {
	t.Parallel()
	var public []string
	for _, p := range goList(t, "linux", "amd64", "./...") {
		if name := folder(p.ImportPath); ours(p.ImportPath) && p.Name != "main" && !slices.Contains(strings.Split(name, "/"), "internal") {
			public = append(public, name)
		}
	}
	require.ElementsMatch(t, publicPackages, public)
}

// The root of the repository contains only these directories and files.
func TestTopLevelFiles(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"hub", "transports", "auth", "cmd", "wasmdemo", "testdata", "docs",
		"go.mod", "go.sum", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
		".ci", ".gitignore", ".golangci.yml",
	}
	for _, name := range topNames(t) {
		require.Contains(t, allowed, name)
	}
}

// topNames returns the names in the root directory that git tracks, or all names in it if it is not a git repository.
func topNames(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(path.Join(moduleRoot, ".git")); err != nil {
		entries, err := os.ReadDir(moduleRoot)
		require.NoError(t, err)
		names := make([]string, len(entries))
		for i, entry := range entries {
			names[i] = entry.Name()
		}
		return names
	}
	// Without safe.directory, git refuses a repository that belongs to another user.
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z")
	cmd.Dir = moduleRoot
	out, err := cmd.Output()
	require.NoError(t, err)
	var names []string
	for file := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if name, _, _ := strings.Cut(file, "/"); name != "" {
			names = append(names, name)
		}
	}
	return names
}
