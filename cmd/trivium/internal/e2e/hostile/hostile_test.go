package hostile

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// attack is one attack on the hubs of a testbed. Its name is listed in docs/security.md.
type attack struct {
	name string
	try  func(t *testing.T, f *testbed)
}

// attacks lists all attacks. They run in parallel, so each attack uses its own topics to check its
// effects.
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
	pollAttacks,
	filterAttacks,
	gzipAttacks,
	logAttacks,
)

// TestHostile runs all attacks over real sockets against trivium processes. Then it searches all output of the hubs for
// the tokens and secrets that were used.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks take a long time")
	}
	t.Parallel()
	f := newTestbed(t)
	t.Run("try", func(t *testing.T) { // without t.Parallel, which would start them in any order
		var running sync.WaitGroup
		defer running.Wait()
		slots := make(chan struct{}, 12) // most attacks wait
		for _, row := range longestFirst() {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				t.Run(row.name, func(t *testing.T) { row.try(t, f) })
			})
		}
	})
	t.Run(leakAttack, f.requireNoLeak)
}

// longestFirst returns all attacks. Those that wait for timeouts start first, so that the others run meanwhile.
func longestFirst() []attack {
	sorted := slices.Concat(incomingAttacks, keyAttacks, pollAttacks, wireAttacks)
	waiting := len(sorted)
	for _, row := range attacks {
		if !slices.ContainsFunc(sorted[:waiting], func(w attack) bool { return w.name == row.name }) {
			sorted = append(sorted, row)
		}
	}
	return sorted
}

// leakAttack is the name of the last test, which searches the output that all other attacks have
// caused.
const leakAttack = "a search for tokens and secrets in the log, metrics and errors"

// docs/security.md lists exactly the names of the attacks.
func TestSecurityListed(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(hubtest.ModuleRoot(t), "docs/security.md"))
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

// docs/security.md promises that connections end within a second. The tests log the time. They
// allow a minute, because the machine may be busy, and three seconds if TRIVIUM_LONG=1 is set,
// which requires an idle machine.
const promised = time.Second

var allowed = func() time.Duration {
	if os.Getenv("TRIVIUM_LONG") != "" {
		return 3 * time.Second
	}
	return time.Minute
}()

// inTime requires that an action that is promised within a second took no longer than the tests
// allow.
func inTime(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s took %v of the %v promised", what, took.Round(time.Millisecond), promised)
	require.Less(t, took, allowed, what)
}
