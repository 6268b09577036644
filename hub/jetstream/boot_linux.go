package jetstream

import (
	"os"
	"strings"
)

// bootID returns the ID of the machine's current boot, or "" if it is unknown.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
