//go:build !js

package hub

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// layers lists the files of the package, without .go. A file may refer to files of its own layer and of the layers
// above it in this table.
var layers = [][]string{
	{
		"doc", "cursor", "topic", "filterset", "masks", "event", "attachment", "deque", "errors", "engine", "memory", "publisher",
		"latency", "paced",
	},
	{"memlog", "topics", "merge", "read", "loss_search", "loss_index"},
	{"sink", "group", "shards", "batch", "index"},
	{"replay", "replay_ahead", "replay_erase", "replay_losses", "replay_match", "replay_queue", "backward_scan", "locator"},
	{"subscription", "subscription_replay", "start", "gap"},
	{"hub", "deliver", "delivery_wait", "fanout", "erase", "events", "idempotency", "stats"},
}

// backReferences lists the references against the order of the layers. docs/architecture.md contains the reason for
// each.
var backReferences = []string{
	"gap.go → hub.go", "gap.go → stats.go", "start.go → hub.go", "subscription.go → hub.go", "subscription_replay.go → hub.go",
}

// TestLayers compares the references between the files of the package with the order of the layers.
func TestLayers(t *testing.T) {
	layerOf := make(map[string]int)
	for i, names := range layers {
		for _, name := range names {
			layerOf[name+".go"] = i
		}
	}
	back := make(map[string]bool)
	references := fileReferences(t)
	for r := range references {
		for _, file := range r {
			require.Contains(t, layerOf, file, "the file must be in a layer")
		}
		if layerOf[r[0]] < layerOf[r[1]] {
			back[r[0]+" → "+r[1]] = true
		}
	}
	require.Equal(t, backReferences, slices.Sorted(maps.Keys(back)))
	require.LessOrEqual(t, len(back), 10)
	text, err := os.ReadFile("../docs/architecture.md")
	require.NoError(t, err)
	for name := range back {
		require.True(t, strings.Contains(string(text), name), "docs/architecture.md does not name %s", name)
	}
	t.Logf("%d references between %d files", len(references), len(layerOf))
}

// fileReferences returns all pairs of files in which the first file uses a declaration of the second
// file.
func fileReferences(t *testing.T) map[[2]string]bool {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	set := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		if !strings.HasSuffix(name, "_test.go") {
			file, err := parser.ParseFile(set, name, nil, 0)
			require.NoError(t, err)
			parsed = append(parsed, file)
		}
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: importer.ForCompiler(set, "source", nil)}
	checked, err := config.Check("hub", set, parsed, info)
	require.NoError(t, err)
	found := make(map[[2]string]bool)
	for use, object := range info.Uses {
		if object.Pkg() == checked {
			pair := [2]string{filepath.Base(set.Position(use.Pos()).Filename), filepath.Base(set.Position(object.Pos()).Filename)}
			if pair[0] != pair[1] {
				found[pair] = true
			}
		}
	}
	return found
}
