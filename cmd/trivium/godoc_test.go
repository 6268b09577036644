package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxDocLines is the maximum number of lines that go doc prints for a package, about two screens.
const maxDocLines = 100

// internalTypes matches lines that name a type of an internal package. The lines that setByAPI matches
// are permitted: they are fields that only transports.API sets.
var internalTypes = regexp.MustCompile(`(?m)^.*\b(wire|connection|web|intake|build)\.[A-Z]\w*.*$`)

var setByAPI = regexp.MustCompile(`^\t(Registry|Counters|Log|Intake) +\*(connection|intake)\.\w+`)

// TestPublicTypes checks that the public API uses no types of internal packages, because other programs cannot name these
// types.
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

// TestPackageDocs checks that the output of go doc for each public package has at most maxDocLines
// lines, begins with an example, and then describes the package's goroutines.
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
