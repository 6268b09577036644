package jetstream

import (
	"fmt"

	"golang.org/x/mod/semver"
)

// MinServerVersion is the oldest nats-server version that the engine supports. Version 2.12 has all required
// features, but was seen to leave idempotency keys unacknowledged after its leader had been isolated.
const MinServerVersion = "2.15.2"

func checkVersion(version string) error {
	if v := "v" + version; semver.IsValid(v) && semver.Compare(v, "v"+MinServerVersion) < 0 {
		return fmt.Errorf("nats-server %s is too old: version %s or newer is required", version, MinServerVersion)
	}
	return nil
}
