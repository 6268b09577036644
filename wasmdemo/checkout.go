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

// FindCheckout returns the root directory of the module from which go run has built this process.
// It returns "" if go run has not built the process, or if the directory no longer contains the
// module. It does not use the working directory, which may contain other code: that code would be
// built and run in the user's browser.
func FindCheckout() string {
	executable, err := os.Executable()
	if err != nil {
		return ""
	}
	_, source, _, _ := runtime.Caller(0)
	return findCheckout(executable, source)
}

// findCheckout is FindCheckout with the path of the executable and the path of this package's
// source at compile time. If the process was built with -trimpath, that path is not absolute, and
// there is no checkout.
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

// go run writes the executable into a temporary work directory or, from the second time on, into
// its cache.
var (
	workDir  = regexp.MustCompile(`/go-build[0-9]+/b001/exe/[^/]+$`)
	cacheDir = regexp.MustCompile(`/[0-9a-f]{2}/[0-9a-f]{64}-d/[^/]+$`)
)

func builtByGoRun(executable string) bool {
	executable = filepath.ToSlash(executable)
	return workDir.MatchString(executable) || cacheDir.MatchString(executable)
}

// isOurModule reports whether a go.mod is that of this module, according to its module line.
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
