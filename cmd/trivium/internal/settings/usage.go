package settings

import (
	"fmt"
	"strings"
)

// UsageError is an error for which trivium exits with the code for wrong usage or configuration. Each
// element of Lines describes one fault.
type UsageError struct{ Lines []string }

// Error implements error.
func (e *UsageError) Error() string { return strings.Join(e.Lines, "\n") }

// NewUsageError returns a UsageError that describes the faults.
func NewUsageError(faults []Fault) error {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = fmt.Sprintf("%s: %s", f.Setting, f.Detail)
	}
	return &UsageError{lines}
}
