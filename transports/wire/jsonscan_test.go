package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawSpace draws JSON white space, mostly none.
func drawSpace(t *rapid.T) string {
	return rapid.StringMatching(`([ \t\r\n]{1,3})?`).Draw(t, "space")
}

// drawRawString draws a JSON string with any escapes that an encoder may write.
func drawRawString(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "é", "😀", " ", "}", "]", ",", ":", "{", `\"`, `\\`, `\/`, `\n`, `\u0041`, `\u00E9`, `\ud83d\ude00`,
	}), 0, 6).Draw(t, "string")
	return `"` + strings.Join(parts, "") + `"`
}

// drawRawJSON draws a JSON text without surrounding white space, in any valid formatting.
func drawRawJSON(t *rapid.T, depth int) string {
	kinds := []string{"string", "literal", "array", "object"}
	if depth == 0 {
		kinds = kinds[:2]
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "string":
		return drawRawString(t)
	case "literal":
		return rapid.SampledFrom([]string{"null", "true", "false", "0", "-1.50e+07", "12345678901234567890"}).Draw(t, "literal")
	case "array":
		var b strings.Builder
		for i := range rapid.IntRange(0, 3).Draw(t, "elements") {
			b.WriteString(strings.Repeat(",", min(i, 1)) + drawSpace(t) + drawRawJSON(t, depth-1) + drawSpace(t))
		}
		return "[" + b.String() + drawSpace(t) + "]"
	}
	var b strings.Builder
	for i := range rapid.IntRange(0, 3).Draw(t, "members") {
		b.WriteString(strings.Repeat(",", min(i, 1)) + drawSpace(t) + drawRawString(t) + drawSpace(t) + ":" +
			drawSpace(t) + drawRawJSON(t, depth-1) + drawSpace(t))
	}
	return "{" + b.String() + drawSpace(t) + "}"
}

// The scanners return the members of an object byte for byte and in order.
func TestMembersAndElementsFindWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var names, values []string
		object, array := "{"+drawSpace(t), "["+drawSpace(t)
		for i := range rapid.IntRange(0, 5).Draw(t, "members") {
			rawName, value := drawRawString(t), drawRawJSON(t, 2)
			var name string
			require.NoError(t, json.Unmarshal([]byte(rawName), &name))
			names, values = append(names, name), append(values, value)
			comma := strings.Repeat(",", min(i, 1))
			object += comma + drawSpace(t) + rawName + drawSpace(t) + ":" + drawSpace(t) + value + drawSpace(t)
			array += comma + drawSpace(t) + value + drawSpace(t)
		}
		object, array = object+"}", array+"]"
		require.True(t, validJSON([]byte(object)), object)

		var gotNames, gotValues, gotElements []string
		require.NoError(t, members([]byte(object), func(name string, value []byte) error {
			gotNames, gotValues = append(gotNames, name), append(gotValues, string(value))
			return nil
		}))
		require.NoError(t, elements([]byte(array), func(value []byte) error {
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
		s, ok := decodeString([]byte(raw + `"`))
		require.Equal(t, string(utf16.Decode(units)), s)
		require.Equal(t, slices.Equal(units, utf16.Encode([]rune(s))), ok, raw)
	})
}
