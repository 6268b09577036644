package hub

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// deepFilters returns n filters of 16 tokens of one byte, which are the most expensive to match. Each
// token except the last is a wildcard, the token of deepTopic at the same position, or random. The last
// token differs among any 64 consecutive filters.
func deepFilters(rng *rand.Rand, n int) []Filter {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	filters := make([]Filter, n)
	for i := range filters {
		var tokens []string
		for at := range MaxTopicTokens - 1 {
			switch rng.IntN(4) {
			case 0:
				tokens = append(tokens, "*")
			case 1:
				tokens = append(tokens, letters[at:at+1])
			default:
				at := rng.IntN(len(letters))
				tokens = append(tokens, letters[at:at+1])
			}
		}
		filters[i] = mustFilter(strings.Join(append(tokens, letters[i%64:i%64+1]), "."))
	}
	return filters
}

// agreeingFilters returns n filters that would match deepTopic if they had another last token. They
// contain random wildcards, so that a search visits as many paths of the topic tree as possible.
func agreeingFilters(rng *rand.Rand, n int) []Filter {
	filters := make([]Filter, n)
	for i := range filters {
		tokens := strings.Split(deepTopic, ".")
		for at := range MaxTopicTokens - 1 {
			if rng.IntN(2) == 0 {
				tokens[at] = "*"
			}
		}
		tokens[MaxTopicTokens-1] = "z"
		filters[i] = mustFilter(strings.Join(tokens, "."))
	}
	return filters
}

// deepTopic consists of the tokens that deepFilters uses most.
const deepTopic = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"

// A set of any size matches a topic, or covers a filter, if and only if one of its filters does.
func TestMasksMatchLikeFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filters := rapid.SliceOfN(filterGen, 0, 200).Draw(t, "filters")
		if rapid.Bool().Draw(t, "deep") {
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			filters = append(filters, deepFilters(rng, rapid.IntRange(0, 100).Draw(t, "n"))...)
		}
		set := NewFilterSet(filters...)
		for range 20 {
			topic := topicGen.Draw(t, "topic")
			if len(filters) > 0 && rapid.Bool().Draw(t, "near") {
				topic = strings.NewReplacer("*", "x", ">", "x.y").Replace(rapid.SampledFrom(filters).Draw(t, "filter").text)
			}
			require.Equal(t, slices.ContainsFunc(filters, func(f Filter) bool { return naiveSelects(f.text, topic) }), set.Match(topic), topic)
			queried := filterGen.Draw(t, "asked")
			require.Equal(t, slices.ContainsFunc(filters, func(f Filter) bool { return f.Cover(queried) }), set.Cover(queried), queried)
		}
	})
}

// A topic with more tokens than allowed is matched only by filters that end in ">".
func TestMasksOfLongTopics(t *testing.T) {
	set := setOf("a.>", "b", "c", "d", "e", strings.Repeat("*.", 15)+"*")
	for topic, want := range map[string]bool{
		"a" + strings.Repeat(".x", 16): true, "z" + strings.Repeat(".x", 16): false,
		"z" + strings.Repeat(".x", 15): true, "": false, "a": false, "e": true,
	} {
		require.Equal(t, want, set.Match(topic), topic)
	}
}

// The most expensive set of 64 filters takes less than 10 KB, including its entries in the index,
// and FilterSet.Size is approximately right.
func TestFilterSetsAreSmall(t *testing.T) {
	const sets = 300
	rng := rand.New(rand.NewPCG(1, 2))
	requests := make([][]Filter, sets)
	for i := range requests {
		requests[i] = deepFilters(rng, 64)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	ix := newIndex()
	groups := make([]*group, sets)
	size := 0
	for i, filters := range requests {
		groups[i] = &group{set: NewFilterSet(filters...)}
		ix.add(groups[i])
		size += groups[i].set.Size()
	}
	taken := int(heap()-before) / sets
	t.Logf("%d bytes per set, FilterSet.Size returns %d", taken, size/sets)
	require.Less(t, taken, 10_000)
	require.InDelta(t, taken, size/sets, float64(taken)/4)
	runtime.KeepAlive(groups)
	runtime.KeepAlive(requests)
	runtime.KeepAlive(&ix)
}

// The test counts the groups that a publish visits. A group with an anchor in the topic must be visited
// once, regardless of its wildcards. Other groups must not be visited.
func TestHostileFiltersVisitFewGroups(t *testing.T) {
	const groups = 200
	ix := newIndex()
	rng := rand.New(rand.NewPCG(3, 4))
	for range groups {
		ix.add(&group{set: NewFilterSet(agreeingFilters(rng, 64)...)})
		ix.add(&group{set: NewFilterSet(deepFilters(rng, 64)...)})
	}
	for range 1000 {
		ix.add(&group{set: setOf(fmt.Sprint("user.", rng.Uint64(), ".>"), fmt.Sprint("*.", rng.Uint64()))})
	}
	looked := func(text string) int {
		var topic topicTokens
		topic.split(text)
		return len(gatherAll(&ix, &topic))
	}
	require.InDelta(t, 3*groups/2, looked(deepTopic), groups/2)
	require.LessOrEqual(t, looked("user.77.inbox"), 1, "groups whose anchors are other tokens are not visited")
	require.LessOrEqual(t, looked("orders.77.paid"), 1)
	require.Zero(t, len(ix.match(nil, deepTopic)))
}
