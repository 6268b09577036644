package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxDocLines is the maximum number of lines of a package's go doc: two screens.
const maxDocLines = 100

// internalTypes matches lines that name a type of an internal package. Fields that only
// transports.API sets are exempt.
var internalTypes = regexp.MustCompile(`(?m)^.*\b(wire|connection|web|intake|build)\.[A-Z]\w*.*$`)

var setByAPI = regexp.MustCompile(`^\t(Registry|Counters|Log|Intake) +\*(connection|intake)\.\w+`)

// TestPublicTypes checks that the public API uses only types that other programs can name.
func TestPublicTypes(t *testing.T) {
	t.Parallel()
	for _, name := range publicPackages {
		cmd := exec.Command("go", "doc", "-all", "./"+name)
		cmd.Dir = moduleRoot
		out, err := cmd.Output()
		require.NoError(t, err, name)
		for _, line := range internalTypes.FindAllString(string(out), -1) {
			if !setByAPI.MatchString(line) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// TestPackageDocs checks that the go doc of each public package fits two screens, begins with an
// example, and then names the owner of each goroutine.
func TestPackageDocs(t *testing.T) {
	t.Parallel()
	for _, name := range publicPackages {
		cmd := exec.Command("go", "doc", "./"+name)
		cmd.Dir = moduleRoot
		out, err := cmd.Output()
		require.NoError(t, err, name)
		text := string(out)
		require.LessOrEqual(t, strings.Count(text, "\n"), maxDocLines, name)
		paragraphs := strings.Split(text, "\n\n")
		require.Greater(t, len(paragraphs), 2, name)
		require.True(t, strings.HasPrefix(paragraphs[2], "    "), "%s does not begin with an example:\n%s", name, paragraphs[2])
		require.Contains(t, strings.Join(paragraphs[3:], "\n\n"), "goroutine", name)
	}
}
