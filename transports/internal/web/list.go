package web

import (
	"iter"
	"strings"
)

// Elements returns the elements of a comma-separated header field, of all its lines (RFC 9110
// section 5.6.1), without surrounding white space. It omits empty elements. A comma in a quoted
// string also separates elements.
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
