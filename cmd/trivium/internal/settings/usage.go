package settings

import (
	"fmt"
	"strings"
)

// UsageError ends the program with the exit code for wrong usage or configuration. Each line is one
// error.
type UsageError struct{ Lines []string }

// Error implements error.
func (e *UsageError) Error() string { return strings.Join(e.Lines, "\n") }

// NewUsageError returns one error for all faults.
func NewUsageError(faults []Fault) error {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = fmt.Sprintf("%s: %s", f.Setting, f.Detail)
	}
	return &UsageError{lines}
}
