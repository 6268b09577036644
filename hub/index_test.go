package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestIndexProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ix := newIndex()
		var feeds []*group
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				g := &group{set: NewFilterSet(rapid.SliceOfN(filterGen, 1, 5).Draw(t, "filters")...)}
				ix.add(g)
				feeds = append(feeds, g)
			},
			"remove": func(t *rapid.T) {
				if len(feeds) == 0 {
					return
				}
				i := rapid.IntRange(0, len(feeds)-1).Draw(t, "which")
				ix.remove(feeds[i])
				feeds = append(feeds[:i], feeds[i+1:]...)
			},
			"": func(t *rapid.T) {
				topic := topicGen.Draw(t, "topic")
				found := make(map[*group]bool)
				for _, g := range ix.match(nil, topic) {
					found[g] = true
				}
				for _, g := range feeds {
					selects := false
					for filter := range g.set.All() {
						selects = selects || naiveSelects(filter.text, topic)
					}
					require.Equal(t, selects, found[g], "%s %s", g.set.Key(), topic)
					delete(found, g)
				}
				require.Empty(t, found)
			},
		})
		for _, g := range feeds {
			ix.remove(g)
		}
		require.True(t, ix.empty())
	})
}
