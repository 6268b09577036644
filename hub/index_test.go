package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestIndexProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ix := newIndex()
		var groups []*group
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				g := &group{set: NewFilterSet(rapid.SliceOfN(filterGen, 1, 5).Draw(t, "filters")...)}
				ix.add(g)
				groups = append(groups, g)
			},
			"remove": func(t *rapid.T) {
				if len(groups) == 0 {
					return
				}
				i := rapid.IntRange(0, len(groups)-1).Draw(t, "which")
				ix.remove(groups[i])
				groups = append(groups[:i], groups[i+1:]...)
			},
			"": func(t *rapid.T) {
				topic := topicGen.Draw(t, "topic")
				found := make(map[*group]bool)
				for _, g := range ix.match(nil, topic) {
					found[g] = true
				}
				for _, g := range groups {
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
		for _, g := range groups {
			ix.remove(g)
		}
		require.True(t, ix.empty())
	})
}

// TestMatchRepeatedTopics checks that matching a batch finds the same groups as matching each of
// its events separately.
func TestMatchRepeatedTopics(t *testing.T) {
	h := startHub(t, Config{})
	for _, filter := range []string{"a.*", "a.b", "*", "$a", "d.>"} {
		_, _ = subscribeTo(t, h, filter)
	}
	var events []*Event
	for _, topic := range []string{"a.b", "a.b", "", "a.b", "c", "c", "none.e", "none.e", "a.b", "$a", "", "", "$a", "$a"} {
		events = append(events, &Event{Topic: topic})
	}
	require.Equal(t, len(events), h.matchGroups(events))
	var want []groupMatch
	for i, e := range events {
		if e.Topic == "" {
			continue
		}
		for _, g := range h.index.match(nil, e.Topic) {
			want = append(want, groupMatch{g, i})
		}
	}
	require.Len(t, want, 4*2+2+3)
	require.Equal(t, want, h.delivery.matched)
}
