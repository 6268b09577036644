package jetstream

import (
	"os"
	"strings"
)

// bootID names the machine's time since it was switched on; empty if that cannot be known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
