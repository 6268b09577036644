package hubtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NeedTool returns the path of a program. If the program is missing, it skips the test, or fails it
// if TRIVIUM_REQUIRE_TOOLS is set.
func NeedTool(t *testing.T, name, hint string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // these directories are not in every user's PATH
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		LackTool(t, name+" is not installed ("+hint+")")
	}
	return path
}

// LackTool skips a test that needs a missing program or library. The parameter what is a message that names
// the missing program or library. If TRIVIUM_REQUIRE_TOOLS is set, LackTool fails the test instead.
func LackTool(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TRIVIUM_REQUIRE_TOOLS") == "1" {
		t.Fatal(what + ", and TRIVIUM_REQUIRE_TOOLS is set")
	}
	t.Skip(what)
}
