package jsonscan

import (
	"fmt"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

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
			raw += fmt.Sprintf(rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(t, "format"), u)
			units = append(units, u)
		}
		s, ok := DecodeString([]byte(raw + `"`))
		require.Equal(t, string(utf16.Decode(units)), s)
		require.Equal(t, slices.Equal(units, utf16.Encode([]rune(s))), ok, raw)
	})
}
