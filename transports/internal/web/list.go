package web

import (
	"iter"
	"strings"
)

// Elements returns the elements of a comma-separated header field (RFC 9110 section 5.6.1). lines
// contains the values of all header lines with this name. Elements removes white space around elements,
// and omits empty elements. It does not parse quoted strings: a comma within one also separates elements.
func Elements(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for element := range strings.SplitSeq(line, ",") {
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}
