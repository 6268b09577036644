package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

var (
	fence    = regexp.MustCompile("(?ms)^```.*?^```$")
	heading  = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	pageLink = regexp.MustCompile(`\b(docs/[a-z]+\.md|README\.md)#([\w-]+)`)
	ownLink  = regexp.MustCompile(`\]\(#([\w-]+)\)`)
)

// anchors returns the anchors that GitHub generates for the headings of a page.
func anchors(page string) []string {
	var found []string
	seen := map[string]int{}
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, match[1])
		if n := seen[anchor]; n > 0 {
			found = append(found, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			found = append(found, anchor)
		}
		seen[anchor]++
	}
	return found
}

func TestAnchorsFollowGitHub(t *testing.T) {
	page := "# A page, & more\n## It's `code_1`\n```sh\n# no heading\n```\n## Again\n### Again\n"
	require.Equal(t, []string{"a-page--more", "its-code_1", "again", "again-1"}, anchors(page))
}

// The test finds all links with an anchor, in the Go and Markdown files of the repository, that lead
// to a page in docs or to the README. Each anchor must be that of an existing heading.
func TestCitedAnchorsExist(t *testing.T) {
	known := map[string][]string{}
	check := func(t *testing.T, file, page, anchor string) {
		if known[page] == nil {
			text, err := os.ReadFile(filepath.Join(repository, page))
			require.NoError(t, err, file)
			known[page] = anchors(string(text))
		}
		if !slices.Contains(known[page], anchor) {
			t.Errorf("%s cites %s#%s, and no heading of that page has this anchor", file, page, anchor)
		}
	}
	cited := 0
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return fs.SkipDir
		case entry.IsDir() || !slices.Contains([]string{".go", ".md"}, filepath.Ext(path)):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(repository, path)
		if err != nil {
			return err
		}
		for _, match := range pageLink.FindAllStringSubmatch(string(text), -1) {
			check(t, file, match[1], match[2])
			cited++
		}
		if filepath.Ext(path) == ".md" {
			for _, match := range ownLink.FindAllStringSubmatch(string(text), -1) {
				check(t, file, filepath.ToSlash(file), match[1])
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.NotZero(t, cited)
}
