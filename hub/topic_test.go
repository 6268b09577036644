package hub

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// topicTable tests each rule of docs/protocol.md#topics with a valid and an invalid string. topic is a part
// of the expected error if text is used as a topic. filter is a part of the expected error if text is used as
// a filter. If topic is empty, text is a valid topic. If filter is empty, text is a valid filter.
var topicTable = []struct {
	rule, text    string
	topic, filter string
}{
	{rule: "one token", text: "a"},
	{rule: "any letters", text: "Übung.日本.🙂.-_/:a"},
	{rule: "$ inside a token or later", text: "a$.$b"},
	{rule: "255 bytes", text: strings.Repeat("é", 127) + "a"},
	{rule: "16 tokens", text: "a" + strings.Repeat(".a", 15)},
	{rule: "a topic of the hub", text: "$sys.x", topic: "begin with $"},
	{rule: "empty", text: "", topic: "empty", filter: "empty"},
	{rule: "256 bytes", text: strings.Repeat("é", 128), topic: "longer", filter: "longer"},
	{rule: "17 tokens", text: "a" + strings.Repeat(".a", 16), topic: "16 tokens", filter: "16 tokens"},
	{rule: "empty first token", text: ".a", topic: "token", filter: "token"},
	{rule: "empty last token", text: "a.", topic: "token", filter: "token"},
	{rule: "empty token in the middle", text: "a..b", topic: "token", filter: "token"},
	{rule: "not UTF-8", text: "a\xff", topic: "UTF-8", filter: "UTF-8"},
	{rule: "space", text: "a b", topic: "white space", filter: "white space"},
	{rule: "no-break space", text: "a\u00a0", topic: "white space", filter: "white space"},
	{rule: "line separator", text: "a\u2028", topic: "white space", filter: "white space"},
	{rule: "ideographic space", text: "\u3000", topic: "white space", filter: "white space"},
	{rule: "line feed", text: "a\nb", topic: "white space", filter: "white space"},
	{rule: "NUL", text: "a\x00", topic: "control", filter: "control"},
	{rule: "C1 control", text: "a\u009f", topic: "control", filter: "control"},
	{rule: "zero width joiner", text: "a\u200db", topic: "control or format", filter: "control or format"},
	{rule: "direction override", text: "\u202ea", topic: "control or format", filter: "control or format"},
	{rule: "byte order mark", text: "\ufeffa", topic: "control or format", filter: "control or format"},
	{rule: "star", text: "a.*.b", topic: "only in filters"},
	{rule: "stars", text: "*.*", topic: "only in filters"},
	{rule: "rest wildcard", text: "a.>", topic: "only in filters"},
	{rule: "everything", text: ">", topic: "only in filters"},
	{rule: "both wildcards", text: "*.>", topic: "only in filters"},
	{rule: "wildcards below $", text: "$sys.*.>", topic: "begin with $"},
	{rule: "star inside a token", text: "a*", topic: "only in filters", filter: "only in filters"},
	{rule: "two stars in a token", text: "**", topic: "only in filters", filter: "only in filters"},
	{rule: "rest wildcard inside a token", text: "a.b>", topic: "only in filters", filter: "only in filters"},
	{rule: "rest wildcard before the end", text: "a.>.b", topic: "only in filters", filter: "only in filters"},
}

func TestTopicRules(t *testing.T) {
	for _, row := range topicTable {
		t.Run(row.rule, func(t *testing.T) {
			requireInvalid(t, "topic", row.topic, ValidateTopic(row.text))
			f, err := ParseFilter(row.text)
			requireInvalid(t, "topic", row.filter, err)
			if err == nil {
				require.Equal(t, row.text, f.String())
			} else {
				require.Equal(t, Filter{}, f)
			}
		})
	}
}

// requireInvalid requires an *InvalidError that names the parameter and contains detail. If detail
// is empty, it requires no error.
func requireInvalid(t *testing.T, parameter, detail string, err error) {
	t.Helper()
	if detail == "" {
		require.NoError(t, err)
		return
	}
	var bad *InvalidError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, parameter, bad.Parameter)
	require.Contains(t, bad.Detail, detail)
}

// naiveSelects matches a filter with a topic token by token, by the rules of
// docs/protocol.md#topics.
func naiveSelects(filter, topic string) bool {
	want, got := strings.Split(filter, "."), strings.Split(topic, ".")
	if strings.HasPrefix(topic, "$") && (want[0] == "*" || want[0] == ">") {
		return false
	}
	for i, token := range want {
		switch {
		case i >= len(got):
			return false
		case token == ">":
			return true
		case token != "*" && token != got[i]:
			return false
		}
	}
	return len(want) == len(got)
}

func mustFilter(s string) Filter {
	f, err := ParseFilter(s)
	if err != nil {
		panic(err)
	}
	return f
}

func setOf(filters ...string) FilterSet {
	parsed := make([]Filter, len(filters))
	for i, f := range filters {
		parsed[i] = mustFilter(f)
	}
	return NewFilterSet(parsed...)
}

// sequences returns all strings of 1 to depth tokens. The last token may also be one of tails.
func sequences(tokens, tails []string, depth int) []string {
	all := slices.Concat(tokens, tails)
	if depth > 1 {
		for _, first := range tokens {
			for _, rest := range sequences(tokens, tails, depth-1) {
				all = append(all, first+"."+rest)
			}
		}
	}
	return all
}

// The test checks Match and Cover on all small topics and filters. One token that no filter has,
// and one topic that is longer than every filter, represent all other tokens and topics.
func TestCoverExhaustive(t *testing.T) {
	topics := sequences([]string{"a", "$s", "z"}, nil, 4)
	filters := sequences([]string{"a", "$s", "*"}, []string{">"}, 3)
	selected := make(map[string][]bool)
	for _, text := range filters {
		f := mustFilter(text)
		require.Equal(t, !strings.ContainsAny(text, "*>"), f.Exact(), text)
		for _, topic := range topics {
			selected[text] = append(selected[text], naiveSelects(text, topic))
			require.Equal(t, naiveSelects(text, topic), f.Match(topic), "%s %s", text, topic)
		}
	}
	for _, f := range filters {
		for _, g := range filters {
			covers := true
			for i := range topics {
				covers = covers && (selected[f][i] || !selected[g][i])
			}
			require.Equal(t, covers, mustFilter(f).Cover(mustFilter(g)), "%s covers %s", f, g)
		}
		require.False(t, Filter{}.Cover(mustFilter(f)))
		require.False(t, mustFilter(f).Cover(Filter{}))
	}
	require.False(t, Filter{}.Match("a"))
	require.False(t, Filter{}.Match(""))
	require.Equal(t, mustFilter(">"), Everything)
}

// The generators use few tokens, so that filters often match topics.
var (
	someTokens = []string{"a", "b", "$s", "orders", "ä"}
	topicGen   = rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(someTokens), 1, MaxTopicTokens).Draw(t, "tokens"), ".")
	})
	filterGen = rapid.Custom(func(t *rapid.T) Filter {
		tokens := rapid.SliceOfN(rapid.SampledFrom(append(someTokens, "*", "*", "*")), 0, 5).Draw(t, "tokens")
		last := rapid.SampledFrom([]string{"a", "b", "$s", "*", ">"}).Draw(t, "last")
		return mustFilter(strings.Join(append(tokens, last), "."))
	})
)

func TestMatchProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, g, topic := filterGen.Draw(t, "f"), filterGen.Draw(t, "g"), topicGen.Draw(t, "topic")
		require.Equal(t, naiveSelects(f.String(), topic), f.Match(topic))
		if f.Cover(g) && g.Match(topic) {
			require.True(t, f.Match(topic), "%s covers %s", f, g)
		}
	})
}

func TestFilterSetIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filters := rapid.SliceOfN(filterGen, 0, 8).Draw(t, "filters")
		set := NewFilterSet(filters...)
		for i, f := range set.Filters() {
			require.False(t, slices.ContainsFunc(set.Filters(), func(g Filter) bool { return f != g && g.Cover(f) }))
			require.True(t, i == 0 || set.Filters()[i-1].text < f.text)
		}
		more := append(slices.Clone(filters), Filter{})
		for _, f := range filters {
			if rapid.Bool().Draw(t, "redundant") {
				more = append(more, f, mustFilter(strings.Replace(f.String(), "*", "b", 1)))
			}
		}
		again := NewFilterSet(rapid.Permutation(more).Draw(t, "order")...)
		require.Equal(t, set.Key(), again.Key())
		require.Equal(t, set.Filters(), again.Filters())
		require.Equal(t, len(set.Filters()), set.Len())
		topic := topicGen.Draw(t, "topic")
		require.Equal(t, slices.ContainsFunc(filters, func(f Filter) bool { return f.Match(topic) }), set.Match(topic))
		f := filterGen.Draw(t, "asked")
		require.Equal(t, slices.ContainsFunc(filters, func(g Filter) bool { return g.Cover(f) }), set.Cover(f))
	})
}

// naiveTokens checks the rules that apply to both topics and filters.
func naiveTokens(s string) bool {
	tokens := strings.Split(s, ".")
	return len(s) <= 255 && utf8.ValidString(s) && len(tokens) <= 16 && !slices.Contains(tokens, "") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp, unicode.Cc, unicode.Cf)
		})
}

func FuzzTopic(f *testing.F) {
	for _, row := range topicTable {
		f.Add(row.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens := strings.Split(s, ".")
		topic := naiveTokens(s) && s[0] != '$' && !strings.ContainsAny(s, "*>")
		require.Equal(t, topic, ValidateTopic(s) == nil)
		filter := naiveTokens(s)
		for i, token := range tokens {
			alone := token == "*" || token == ">" && i == len(tokens)-1
			filter = filter && (alone || !strings.ContainsAny(token, "*>"))
		}
		parsed, err := ParseFilter(s)
		require.Equal(t, filter, err == nil)
		if topic {
			require.True(t, parsed.Match(s))
			require.True(t, parsed.Exact())
			require.True(t, Everything.Match(s))
		}
		if filter {
			require.True(t, parsed.Cover(parsed))
			require.Equal(t, s[0] != '$', Everything.Cover(parsed))
		}
	})
}
