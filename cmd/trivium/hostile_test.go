package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// row is something that is tried against a hub, named as docs/security.md lists it.
type attack struct {
	name string
	try  func(t *testing.T, f *testbed)
}

// attacks are all of them. Rows run beside each other, so what one must not have brought about
// is looked for under a topic of its own.
var attacks = slices.Concat(
	tokenAttacks,
	rightAttacks,
	endAttacks,
	browserAttacks,
	wireAttacks,
	frameAttacks,
	limitAttacks,
	udpAttacks,
	keyAttacks,
	storeAttacks,
	eraseAttacks,
	idleAttacks,
	pageAttacks,
	incomingAttacks,
	slowAttacks,
	filterAttacks,
	gzipAttacks,
	logAttacks,
)

// TestHostile tries them all over real sockets, against the program, and then looks for what was
// used as a token or a secret in all that the hubs have said meanwhile.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks take long")
	}
	t.Parallel()
	f := newTestbed(t)
	t.Run("try", func(t *testing.T) {
		for _, row := range attacks {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				row.try(t, f)
			})
		}
	})
	t.Run(leakAttack, f.requireNoLeak)
}

// leakAttack is the last: it is about all that was done in the others.
const leakAttack = "a token or a secret in the log, a metric or an error"

// TestSecurityListed: docs/security.md lists the rows, and nothing that is not tried.
func TestSecurityListed(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	_, list, found := strings.Cut(string(page), "-run TestHostile")
	require.True(t, found)
	var listed, tried []string
	for _, match := range regexp.MustCompile(`(?m)^- (.+)$`).FindAllStringSubmatch(list, -1) {
		listed = append(listed, match[1])
	}
	for _, row := range attacks {
		tried = append(tried, row.name)
	}
	require.Equal(t, append(tried, leakAttack), listed)
}

// What docs/security.md promises is a second, and what it was is logged. A machine gets a minute, however busy
// it is; with TRIVIUM_LONG=1 it has to be a quiet one.
const promised = time.Second

var allowed = func() time.Duration {
	if os.Getenv("TRIVIUM_LONG") != "" {
		return 3 * time.Second
	}
	return time.Minute
}()

// inTime judges how long something took that is promised within a second.
func inTime(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s took %v of the %v promised", what, took.Round(time.Millisecond), promised)
	require.Less(t, took, allowed, what)
}
