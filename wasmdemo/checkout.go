package wasmdemo

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

const module = "github.com/trivium-hub/trivium"

// FindCheckout returns the root of the module that the running program was built from, or "" unless go run has
// just built it from an unchanged directory. The working directory is not used: it may contain foreign
// files, whose code would run in the reader's browser.
func FindCheckout() string {
	executable, err := os.Executable()
	if err != nil {
		return ""
	}
	_, source, _, _ := runtime.Caller(0)
	return findCheckout(executable, source)
}

// findCheckout decides by the program's path and by the path of this package's source at compile time, which
// -trimpath removes.
func findCheckout(executable, source string) string {
	if !builtByGoRun(executable) || !filepath.IsAbs(source) {
		return ""
	}
	root := filepath.Dir(filepath.Dir(source))
	if !isOurModule(filepath.Join(root, "go.mod")) {
		return ""
	}
	if app, err := os.Stat(filepath.Join(root, "wasmdemo", "app")); err != nil || !app.IsDir() {
		return ""
	}
	return root
}

// go run puts a program into its work directory, or from the second time on into its cache.
var (
	workDir  = regexp.MustCompile(`/go-build[0-9]+/b001/exe/[^/]+$`)
	cacheDir = regexp.MustCompile(`/[0-9a-f]{2}/[0-9a-f]{64}-d/[^/]+$`)
)

func builtByGoRun(executable string) bool {
	executable = filepath.ToSlash(executable)
	return workDir.MatchString(executable) || cacheDir.MatchString(executable)
}

// isOurModule reports whether a go.mod is this module's, by its module line.
func isOurModule(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }() // the file is only read
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line != "" && !strings.HasPrefix(line, "//") {
			return line == "module "+module
		}
	}
	return false
}
