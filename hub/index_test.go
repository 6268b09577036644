package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestIndexProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ix := newIndex()
		var feeds []*feed
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				f := &feed{set: NewFilterSet(rapid.SliceOfN(filterGen, 1, 5).Draw(t, "filters")...)}
				ix.add(f)
				feeds = append(feeds, f)
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
				found := make(map[*feed]bool)
				for _, f := range ix.match(nil, topic) {
					found[f] = true
				}
				for _, f := range feeds {
					selects := false
					for filter := range f.set.All() {
						selects = selects || naiveSelects(filter.text, topic)
					}
					require.Equal(t, selects, found[f], "%s %s", f.set.Key(), topic)
					delete(found, f)
				}
				require.Empty(t, found)
			},
		})
		for _, f := range feeds {
			ix.remove(f)
		}
		require.True(t, ix.empty())
	})
}
