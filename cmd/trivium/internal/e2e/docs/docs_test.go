package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
)

// repository is the root of the repository, relative to this directory.
const repository = "../../../../.."

// page returns the content of a file. The path is relative to the root of the repository.
func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, path))
	require.NoError(t, err)
	return string(text)
}

// pages returns the paths of the Markdown files in the root directory and in docs.
func pages(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		require.NoError(t, err)
		for _, path := range found {
			relative, err := filepath.Rel(repository, path)
			require.NoError(t, err)
			paths = append(paths, filepath.ToSlash(relative))
		}
	}
	return paths
}

var (
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	link     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
)

// Each relative link in docs and in the pages of the root directory leads to an existing file or directory. If the link
// has an anchor, the page contains a heading with this anchor.
func TestLinksResolve(t *testing.T) {
	t.Parallel()
	for _, from := range pages(t) {
		text := codeSpan.ReplaceAllString(fence.ReplaceAllString(page(t, from), ""), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(match[1], "://") || strings.HasPrefix(match[1], "mailto:") {
				continue
			}
			path, anchor, anchored := strings.Cut(match[1], "#")
			target := from
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(from), path))
			}
			_, err := os.Stat(filepath.Join(repository, target))
			require.NoError(t, err, "%s links to %s", from, match[1])
			if anchored {
				require.Contains(t, anchors(page(t, target)), anchor, "%s links to %s", from, match[1])
			}
		}
	}
}

// The README has fewer than 200 lines, so that it can be read in one sitting.
func TestReadmeIsShort(t *testing.T) {
	require.Less(t, strings.Count(page(t, "README.md"), "\n"), 200)
}

// rows returns the rows of a table in docs/operations.md, as lists of cells. The table follows a comment that begins with
// the mark.
func rows(t *testing.T, mark string) (cells [][]string) {
	t.Helper()
	_, table, found := strings.Cut(page(t, "docs/operations.md"), "<!-- "+mark)
	require.True(t, found)
	table, _, _ = strings.Cut(table, "<!-- end")
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `") {
			row := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for i := range row {
				row[i] = strings.Trim(row[i], " `")
			}
			cells = append(cells, row)
		}
	}
	return cells
}

// docs/operations.md contains a row for each flag of trivium serve, with the flag's default.
func TestSettingsDocumented(t *testing.T) {
	var cli struct {
		Serve settings.ServeConfig `cmd:""`
	}
	parser, err := kong.New(&cli, (&settings.Sources{}).Options()...)
	require.NoError(t, err)
	want := map[string]string{}
	for _, node := range parser.Model.Children {
		if node.Name != "serve" {
			continue
		}
		for _, flag := range node.Flags {
			name := flag.Name
			if flag.Tag.Negatable != "" {
				name = "[no-]" + name
			}
			if flag.Name != "help" {
				want["--"+name] = flag.Default
			}
		}
	}
	require.NotEmpty(t, want)
	got := map[string]string{}
	for _, row := range rows(t, "settings: TestSettingsDocumented") {
		got[row[0]] = row[1]
	}
	require.Equal(t, want, got)
}

// docs/operations.md contains a row for each metric of the hub.
func TestMetricsDocumented(t *testing.T) {
	want := metricNames(reflect.TypeFor[stats.Snapshot](), "trivium_")
	// Each of the other metrics, which are not fields of a snapshot, is described by a call in
	// metrics_setup.go.
	for _, match := range regexp.MustCompile(`describe\("(\w+)"`).FindAllStringSubmatch(page(t, "cmd/trivium/internal/server/metrics_setup.go"), -1) {
		want = append(want, "trivium_"+match[1])
	}
	var got []string
	for _, row := range rows(t, "metrics: TestMetricsDocumented") {
		got = append(got, row[0])
	}
	slices.Sort(want)
	slices.Sort(got)
	require.Equal(t, slices.Compact(want), got)
}

// metricNames returns the names of the metrics that are fields of a type; see stats.Snapshot.
func metricNames(of reflect.Type, prefix string) (names []string) {
	if of.Kind() == reflect.Map || of.Kind() == reflect.Pointer {
		return metricNames(of.Elem(), prefix)
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	for i := range of.NumField() {
		field := of.Field(i)
		switch name := field.Tag.Get("metric"); {
		case name == "-":
		case name != "":
			names = append(names, prefix+name)
		case field.Tag.Get("prefix") != "":
			names = append(names, metricNames(field.Type, prefix+"udp_")...)
		default:
			names = append(names, metricNames(field.Type, prefix)...)
		}
	}
	return names
}

// docs/proxies.md shows the proxy configurations that TestProxies uses.
func TestProxyRecipesShown(t *testing.T) {
	text := page(t, "docs/proxies.md")
	for _, f := range []string{"nginx.conf", "haproxy.cfg", "Caddyfile", "apache.conf"} {
		recipe := page(t, "testdata/proxies/"+f)
		require.Contains(t, text, "\n"+strings.TrimSpace(recipe)+"\n```\n", f)
	}
}

// Each name such as hub.Engine or connection.Writer in docs/architecture.md exists in the code.
func TestArchitectureNamesExist(t *testing.T) {
	t.Parallel()
	dirs := map[string]string{
		"hub": "hub", "jetstream": "hub/jetstream", "enginetest": "hub/enginetest", "auth": "auth", "transports": "transports",
		"wire": "transports/internal/wire", "connection": "transports/internal/connection", "web": "transports/internal/web", "udp": "transports/udp",
		"client": "transports/client", "problems": "transports/problems",
	}
	found := 0
	for _, match := range regexp.MustCompile("`(\\w+)\\.([A-Z]\\w*)(?:\\.([A-Z]\\w*))?`").FindAllStringSubmatch(page(t, "docs/architecture.md"), -1) {
		dir, known := dirs[match[1]]
		if !known {
			continue // fields such as Hub.mu are not checked
		}
		sources, err := filepath.Glob(filepath.Join(repository, dir, "*.go"))
		require.NoError(t, err)
		var code strings.Builder
		for _, path := range sources {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			code.Write(text)
		}
		for _, name := range match[2:] {
			if name != "" {
				declared := regexp.MustCompile(`(?m)^(func|type|const|var|\t)\s*(\([^)]*\) )?` + name + `\b`).MatchString(code.String())
				require.True(t, declared, "docs/architecture.md names %s, which is not declared in %s", match[0], dir)
				found++
			}
		}
	}
	require.NotZero(t, found)
}
