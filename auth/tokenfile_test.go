package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
)

// fileVector is a tokens file from testdata/tokens/files.yaml. The token of each valid entry is its
// name followed by "-token".
type fileVector struct {
	Name   string
	File   string
	Tokens map[string]struct { // key: name of the entry
		Subscribe, Publish string // filters, separated by spaces
		Expires            time.Time
		Limits             [3]int // connections, connect rate and publish rate
		Ended              bool
	}
	Faults string // expected error, one fault per line
}

func readFileVectors(t testing.TB) []fileVector {
	t.Helper()
	text, err := os.ReadFile("../testdata/tokens/files.yaml")
	require.NoError(t, err)
	var vectors []fileVector
	require.NoError(t, yaml.Unmarshal(text, &vectors))
	require.NotEmpty(t, vectors)
	return vectors
}

// The test loads each file, and requires that an invalid file changes nothing. The fake clock
// starts in the year 2000.
func TestTokensFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, v := range readFileVectors(t) {
			tokens := NewTokens(Limits{Connections: 1, ConnectRate: 2, PublishRate: 3})
			require.NoError(t, tokens.Load([]byte("- {name: old, sha256: "+hashOf("old-token")+"}")))
			old, err := tokens.Verify(t.Context(), nil, "old-token")
			require.NoError(t, err)
			err = tokens.Load([]byte(v.File))
			now, reviewed := tokens.Recheck(old)
			if v.Faults != "" {
				require.EqualError(t, err, strings.TrimSpace(v.Faults), v.Name)
				require.NoError(t, reviewed, v.Name)
				require.Same(t, old, now, v.Name)
				continue
			}
			require.NoError(t, err, v.Name)
			require.Equal(t, ErrTokenEnded, reviewed, v.Name)
			require.Len(t, *tokens.table.Load(), len(v.Tokens), v.Name)
			for name, want := range v.Tokens {
				token := name + "-token"
				c, err := tokens.Verify(t.Context(), nil, token)
				if want.Ended {
					require.Equal(t, ErrTokenEnded, err, v.Name)
					continue
				}
				require.NoError(t, err, "%s: %s", v.Name, name)
				require.Equal(t, sha256.Sum256([]byte(token)), c.Hash)
				require.Equal(t, name, c.Grant.Subject)
				require.Equal(t, want.Subscribe, strings.Join(filterStrings(c.Grant.Subscribe.Filters()), " "))
				require.Equal(t, want.Publish, strings.Join(filterStrings(c.Grant.Publish.Filters()), " "))
				require.True(t, want.Expires.Equal(c.Expires))
				require.Equal(t, Limits{want.Limits[0], want.Limits[1], want.Limits[2]}, c.Limits)
				require.Empty(t, c.ID)
			}
			for _, token := range []string{"", "x", "old-token", hashOf("alice-token"), canary} {
				_, err := tokens.Verify(t.Context(), nil, token)
				require.Equal(t, ErrBadToken, err)
			}
		}
	})
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func TestDefaultsOfOnlyToken(t *testing.T) {
	tokens := NewTokens(Limits{Connections: 5, PublishRate: 1})
	tokens.SetOnlyTokenDefaults(Limits{PublishRate: 1})
	entry := func(name, token, rest string) string {
		return "- name: " + name + "\n  sha256: " + hashOf(token) + "\n  " + rest + "\n"
	}
	for _, row := range []struct {
		file string
		want int
	}{
		{entry("alice", canary, "subscribe: [a]"), 0},
		{entry("alice", canary, "subscribe: [a]") + entry("bob", "another-token-of-bob", "subscribe: [a]"), 5},
		{entry("alice", canary, "limits: {max-connections: 2}"), 2},
		{entry("alice", canary, "limits: {max-connections: 0}") + entry("bob", "another-token-of-bob", "subscribe: [a]"), 0},
	} {
		require.NoError(t, tokens.Load([]byte(row.file)))
		c, err := tokens.Verify(t.Context(), nil, canary)
		require.NoError(t, err)
		require.Equal(t, Limits{Connections: row.want, PublishRate: 1}, c.Limits, row.file)
	}
}

// A recheck applies the current file: rights, limits and expiry may have changed. A recheck ends
// only tokens that are no longer in the file.
func TestTokensRecheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := NewTokens(Limits{})
		load := func(rest string) {
			t.Helper()
			require.NoError(t, tokens.Load([]byte("- name: alice\n  sha256: "+hashOf(canary)+"\n"+rest)))
		}
		_, err := tokens.Verify(t.Context(), nil, canary)
		require.Equal(t, ErrBadToken, err, "no token is accepted before a file is loaded")
		load("  subscribe: [a, b]\n  expires: 2000-01-01T00:00:10Z\n")
		c, err := tokens.Verify(t.Context(), nil, canary)
		require.NoError(t, err)
		load("  subscribe: [a]\n  limits: {max-publish-rate: 5}\n")
		now, err := tokens.Recheck(c)
		require.NoError(t, err)
		_, ok := now.Grant.MaySubscribe(hub.NewFilterSet(hub.Everything))
		require.False(t, ok || now.Grant.Subscribe.Match("b"))
		require.Equal(t, Limits{PublishRate: 5}, now.Limits)
		require.True(t, now.Expires.IsZero())

		load("  expires: 2000-01-01T00:00:10Z\n")
		time.Sleep(10*time.Second - time.Nanosecond)
		_, err = tokens.Verify(t.Context(), nil, canary)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = tokens.Verify(t.Context(), nil, canary)
		require.Equal(t, ErrTokenEnded, err)
		now, err = tokens.Recheck(c)
		require.NoError(t, err)
		require.Equal(t, time.Now().UTC(), now.Expires.UTC())

		require.ErrorContains(t, tokens.Load(nil), "the file is empty")
		require.NoError(t, tokens.Load([]byte("tokens: []")))
		_, err = tokens.Recheck(c)
		require.Equal(t, ErrTokenEnded, err)
	})
}

// The length of an error is limited, even if the file is large or has many faults.
func TestTokensFaultsAreBounded(t *testing.T) {
	tokens := NewTokens(Limits{})
	err := tokens.Load([]byte(strings.Repeat("- x\n", 1000)))
	require.Len(t, strings.Split(err.Error(), "\n"), 101)
	require.ErrorContains(t, err, "\nand 900 more")
	require.EqualError(t, tokens.Load(make([]byte, 16<<20+1)), "want at most 16777216 bytes, got 16777217")

	list := "[" + strings.Repeat("a,", maxFilters+1) + "]"
	err = tokens.Load([]byte("- {name: a, sha256: " + hashOf("a") + ", publish: " + list + "}"))
	require.EqualError(t, err, "line 1: entry 1 (a): publish: want at most 1024 filters, got 1025")

	// A list that ten thousand entries share is parsed once. Otherwise there would be ten million
	// filters.
	var filters, file strings.Builder
	for i := range maxFilters {
		fmt.Fprintf(&filters, "f%d, ", i)
	}
	for i := range 10_000 {
		rights := "*rights"
		if i == 0 {
			rights = "&rights [" + filters.String() + "]"
		}
		fmt.Fprintf(&file, "- {name: n%d, sha256: %s, subscribe: %s}\n", i, hashOf(fmt.Sprint(i)), rights)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, tokens.Load([]byte(file.String())))
	runtime.ReadMemStats(&after)
	require.Less(t, after.Mallocs-before.Mallocs, uint64(10_000*maxFilters/4))
	c, err := tokens.Verify(t.Context(), nil, "9999")
	require.NoError(t, err)
	require.Equal(t, maxFilters, c.Grant.Subscribe.Len())
}

// AppendToken adds an entry to a file of any layout, and leaves the other text unchanged.
func TestAppendToken(t *testing.T) {
	entry := TokenEntry{
		Name: "new: #1", Token: "new-token", Subscribe: []hub.Filter{hub.Everything},
		Expires: time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC),
	}
	lines := []string{
		"- name: 'new: #1'", "  sha256: " + hashOf("new-token"), "  subscribe: ['>']", `  expires: "2030-01-31T00:00:00Z"`, "",
	}
	added := func(indent string) string {
		return strings.TrimSuffix(indent+strings.Join(lines, "\n"+indent), indent)
	}
	old := "name: old\n%ssha256: " + hashOf("old-token") + "\n"
	oldAt := func(indent string) string { return indent + "- " + fmt.Sprintf(old, indent+"  ") }
	tests := []struct{ name, file, want, err string }{
		{name: "new", file: "", want: "tokens:\n" + added("  ")},
		{name: "comments", file: "# Ours.", want: "# Ours.\ntokens:\n" + added("  ")},
		{name: "list", file: oldAt("") + "# end", want: oldAt("") + "# end\n" + added("")},
		{name: "mapping", file: "---\ntokens: # all\n" + oldAt("    "), want: "---\ntokens: # all\n" + oldAt("    ") + added("    ")},
		{name: "mapping, not indented", file: "tokens:\n" + oldAt(""), want: "tokens:\n" + oldAt("") + added("")},
		{name: "CRLF", file: strings.ReplaceAll(oldAt(""), "\n", "\r\n"), want: strings.ReplaceAll(oldAt(""), "\n", "\r\n") + added("")},
		{name: "empty list", file: "# None.\n[]\n# End.", want: "# None.\n# End.\n" + added("")},
		{name: "empty list of a mapping", file: "tokens: [ ] # none", want: "tokens: # none\n" + added("  ")},
		{name: "empty quoted key", file: `"tokens": []`, want: "\"tokens\":\n" + added("  ")},
		{name: "brackets", file: "[{name: a, sha256: " + hashOf("a") + "}]", err: "the list of tokens is in brackets; write its entries on separate lines, each after a hyphen"},
		{name: "braces", file: "{tokens: []}", err: "the file would be invalid with the new entry: line 1: did not find expected <document start>"},
		{name: "brackets on two lines", file: "[\n]", err: "want the empty list of tokens as [] on one line"},
		{name: "anchor", file: "tokens: &all []", want: "tokens: &all\n" + added("  ")},
		{name: "document end", file: oldAt("") + "...\n", err: "the file would be invalid with the new entry: line 3: did not find expected <document start>"},
		{name: "block text at the end", file: oldAt("") + "  expires: |-\n    2030-01-01T00:00:00Z\n", want: oldAt("") + "  expires: |-\n    2030-01-01T00:00:00Z\n" + added("")},
		{name: "name taken", file: "- {name: 'new: #1', sha256: " + hashOf("a") + "}", err: `entry 1 has the name "new: #1" already`},
		{name: "token taken", file: "- {name: a, sha256: " + hashOf("new-token") + "}", err: "the file would be invalid with the new entry: line 3: entry 2 (new: #1): sha256: line 1 already has this hash"},
		{name: "broken", file: "tokens:", err: "line 1: want a list of tokens; [] is an empty list"},
	}
	for _, tt := range tests {
		got, err := AppendToken([]byte(tt.file), entry)
		if tt.err != "" {
			require.EqualError(t, err, tt.err, tt.name)
			continue
		}
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, string(got), tt.name)
		tokens := NewTokens(Limits{})
		require.NoError(t, tokens.Load(got), tt.name)
		c, err := tokens.Verify(t.Context(), nil, "new-token")
		require.NoError(t, err, tt.name)
		require.Equal(t, entry.Name, c.Grant.Subject)
	}
	entry.Name = "a\nb"
	_, err := AppendToken(nil, entry)
	require.EqualError(t, err, "name: want 1 to 128 bytes of printable characters")
}

// A file to which AppendToken has added entries with any names and filters contains all of these
// entries.
func TestAppendTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file []byte
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[ -~é]{1,30}`), 1, 5, rapid.ID[string]).Draw(t, "names")
		for _, name := range names {
			filters := rapid.SliceOfN(rapid.StringMatching(`(\*|[!-)+-\-/-=?-~é]{1,5})(\.>)?`), 0, 4).Draw(t, "filters")
			entry := TokenEntry{Name: name, Token: "token of " + name}
			for _, text := range filters {
				filter, err := hub.ParseFilter(text)
				require.NoError(t, err)
				entry.Subscribe = append(entry.Subscribe, filter)
			}
			var err error
			file, err = AppendToken(file, entry)
			require.NoError(t, err)
			tokens := NewTokens(Limits{})
			require.NoError(t, tokens.Load(file))
			c, err := tokens.Verify(t.Context(), nil, entry.Token)
			require.NoError(t, err)
			require.Equal(t, name, c.Grant.Subject)
			require.Equal(t, hub.NewFilterSet(entry.Subscribe...).Filters(), c.Grant.Subscribe.Filters())
		}
	})
}

// For any input, Load either accepts the file or returns an error with a message. AppendToken
// either adds an entry to an accepted file, or returns an error.
func FuzzTokens(f *testing.F) {
	for _, v := range readFileVectors(f) {
		f.Add([]byte(v.File))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		tokens := NewTokens(Limits{})
		if err := tokens.Load(file); err != nil {
			require.NotEmpty(t, err.Error())
			require.Empty(t, *tokens.table.Load())
			return
		}
		before := *tokens.table.Load()
		longer, err := AppendToken(file, TokenEntry{Name: "fuzz", Token: "fuzz-token"})
		if err != nil {
			return
		}
		require.NoError(t, tokens.Load(longer))
		require.Len(t, *tokens.table.Load(), len(before)+1)
		for index, c := range before {
			require.Equal(t, c, (*tokens.table.Load())[index])
		}
	})
}
