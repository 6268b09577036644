// Package jsontest generates random JSON texts for property-based tests.
package jsontest

import (
	"strings"

	"pgregory.net/rapid"
)

// Space returns random JSON white space of up to three characters. The result may be empty.
func Space(t *rapid.T) string {
	return rapid.StringMatching(`([ \t\r\n]{1,3})?`).Draw(t, "space")
}

// String returns a random JSON string, with quotes, that may contain each kind of escape.
func String(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "é", "😀", " ", "}", "]", ",", ":", "{", `\"`, `\\`, `\/`, `\n`, `\u0041`, `\u00E9`, `\ud83d\ude00`,
	}), 0, 6).Draw(t, "string")
	return `"` + strings.Join(parts, "") + `"`
}

// Value returns a random JSON text of at most the given nesting depth. It has random white space inside,
// and none around it.
func Value(t *rapid.T, depth int) string {
	kinds := []string{"string", "literal", "array", "object"}
	if depth == 0 {
		kinds = kinds[:2]
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "string":
		return String(t)
	case "literal":
		return rapid.SampledFrom([]string{"null", "true", "false", "0", "-1.50e+07", "12345678901234567890"}).Draw(t, "literal")
	case "array":
		var b strings.Builder
		for i := range rapid.IntRange(0, 3).Draw(t, "elements") {
			b.WriteString(strings.Repeat(",", min(i, 1)) + Space(t) + Value(t, depth-1) + Space(t))
		}
		return "[" + b.String() + Space(t) + "]"
	}
	var b strings.Builder
	for i := range rapid.IntRange(0, 3).Draw(t, "members") {
		b.WriteString(strings.Repeat(",", min(i, 1)) + Space(t) + String(t) + Space(t) + ":" +
			Space(t) + Value(t, depth-1) + Space(t))
	}
	return "{" + b.String() + Space(t) + "}"
}
