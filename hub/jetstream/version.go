package jetstream

import (
	"fmt"

	"golang.org/x/mod/semver"
)

// MinServerVersion is the oldest version of nats-server that the engine supports. Version 2.12 has
// all required features, but did not acknowledge publishes with idempotency keys after its leader
// had been isolated.
const MinServerVersion = "2.15.2"

func checkVersion(version string) error {
	if v := "v" + version; semver.IsValid(v) && semver.Compare(v, "v"+MinServerVersion) < 0 {
		return fmt.Errorf("nats-server %s is too old: version %s or newer is required", version, MinServerVersion)
	}
	return nil
}
