package jsonscan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/internal/jsontest"
)

// The scanners return the members of an object byte for byte and in order.
func TestMembersAndElementsFindWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var names, values []string
		object, array := "{"+jsontest.Space(t), "["+jsontest.Space(t)
		for i := range rapid.IntRange(0, 5).Draw(t, "members") {
			rawName, value := jsontest.String(t), jsontest.Value(t, 2)
			var name string
			require.NoError(t, json.Unmarshal([]byte(rawName), &name))
			names, values = append(names, name), append(values, value)
			comma := strings.Repeat(",", min(i, 1))
			object += comma + jsontest.Space(t) + rawName + jsontest.Space(t) + ":" + jsontest.Space(t) + value + jsontest.Space(t)
			array += comma + jsontest.Space(t) + value + jsontest.Space(t)
		}
		object, array = object+"}", array+"]"
		require.True(t, Valid([]byte(object)), object)

		var gotNames, gotValues, gotElements []string
		require.NoError(t, Members([]byte(object), func(name string, value []byte) error {
			gotNames, gotValues = append(gotNames, name), append(gotValues, string(value))
			return nil
		}))
		require.NoError(t, Elements([]byte(array), func(value []byte) error {
			gotElements = append(gotElements, string(value))
			return nil
		}))
		require.Equal(t, names, gotNames, object)
		require.Equal(t, values, gotValues, object)
		require.Equal(t, values, gotElements, array)
	})
}

// A string of escaped UTF-16 units decodes if and only if the units are valid UTF-16, that is, if
// encoding the result yields the same units.
func TestDecodeStringRefusesUnpairedSurrogate(t *testing.T) {
	unit := rapid.OneOf(
		rapid.SampledFrom([]uint16{0xfffd, 0xd83d, 0xde00}), // U+FFFD itself is valid
		rapid.Uint16Range(0xd7ff, 0xe000),
		rapid.Uint16(),
	)
	rapid.Check(t, func(t *rapid.T) {
		var units []uint16
		raw := `"`
		for _, u := range rapid.SliceOfN(unit, 0, 6).Draw(t, "units") {
			if rapid.Bool().Draw(t, "backslash before") {
				raw += `\\`
				units = append(units, '\\')
			}
			raw += fmt.Sprintf(rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(t, "spelling"), u)
			units = append(units, u)
		}
		s, ok := DecodeString([]byte(raw + `"`))
		require.Equal(t, string(utf16.Decode(units)), s)
		require.Equal(t, slices.Equal(units, utf16.Encode([]rune(s))), ok, raw)
	})
}
