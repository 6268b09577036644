package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// badInput returns a *hub.InvalidError for the parameter.
func badInput(parameter, detail string) error {
	return &hub.InvalidError{Parameter: parameter, Detail: detail}
}

// requireString decodes the value of a member that must be a string. The error is a
// *hub.InvalidError for the member.
func requireString(name string, value []byte) (string, error) {
	if !jsonscan.IsString(value) {
		return "", badInput(name, "must be a string")
	}
	s, ok := jsonscan.DecodeString(value)
	if !ok {
		return "", badInput(name, `must not contain an unpaired surrogate (\ud800 to \udfff)`)
	}
	return s, nil
}

// maxNesting is the limit on the nesting of arrays and objects in an event's data. JSON parsers of
// common languages accept data nested this deep.
const maxNesting = 500

// checkNesting returns an error for JSON that is nested deeper than maxNesting.
func checkNesting(parameter string, value []byte) error {
	if len(value) <= 2*maxNesting || !nestedDeeper(value, maxNesting) {
		return nil
	}
	return badInput(parameter, tooDeepDetail)
}

// tooDeepDetail is the error detail for JSON that exceeds maxNesting.
var tooDeepDetail = fmt.Sprintf("arrays and objects are nested more than %d levels deep", maxNesting)

// nestedDeeper reports whether b, which need not be valid JSON, is nested deeper than limit.
func nestedDeeper(b []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// maxDepth is the maximum nesting that encoding/json accepts.
const maxDepth = 10000

// jsonFault describes why jsonscan does not accept b as valid JSON.
func jsonFault(b []byte) string {
	if nestedDeeper(b, maxDepth) {
		return tooDeepDetail
	}
	// Compact, unlike Unmarshal, needs no reflection, which would add half a megabyte to the
	// WebAssembly binary.
	if err := json.Compact(new(bytes.Buffer), b); err != nil {
		return fmt.Sprintf("must be JSON (RFC 8259): %v", err)
	}
	return "must be JSON in valid UTF-8"
}
