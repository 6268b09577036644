package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Any JSON string decodes as with encoding/json, and ok is false only if it has an unpaired
// surrogate.
func TestDecodeStringMatchesEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{
			"a", "é", "\U0001F600", `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `u`, `\u0041`, `\u00E9`, `\u0000`,
			`\ufffd`, `\uFFFD`, "\uFFFD", `\ud83d\ude00`, `\uD83D\uDE00`, `\ud83d`, `\ude00`, `\udbff\udfff`, `\ud83dx`,
		})).Draw(t, "pieces")
		raw := []byte(`"` + strings.Join(pieces, "") + `"`)
		var want string
		require.NoError(t, json.Unmarshal(raw, &want))
		got, ok := DecodeString(raw)
		require.Equal(t, want, got)

		written := strings.Count(string(raw), "\uFFFD") + strings.Count(strings.ToLower(string(raw)), `\ufffd`)
		escapedBackslash := strings.Contains(string(raw), `\\`) // characters after it may only look like an escape
		if !escapedBackslash {
			require.Equal(t, strings.Count(want, string(utf8.RuneError)) == written, ok)
		}
	})
}

func TestMembersOfAnObject(t *testing.T) {
	var names []string
	read := func(name string, value []byte) error {
		s, ok := StringValue(value)
		names = append(names, name+"="+s)
		require.Equal(t, name == "a", ok)
		return nil
	}
	require.NoError(t, ObjectMembers([]byte(` {"a":"x\n","b":1,"c":"\ud800"} `), read))
	require.Equal(t, []string{"a=x\n", "b=", "c=\uFFFD"}, names)
	for _, bad := range []string{"", "[]", `"a"`, `{"a":}`, `{"a":1`, "{\"a\":\"\xff\"}"} {
		require.Error(t, ObjectMembers([]byte(bad), read), bad)
	}
	require.Equal(t, `"<\"\u0001é`+"\uFFFD"+`"`, string(AppendString(nil, "<\"\x01é\xff")))
}
