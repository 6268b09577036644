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

// attack is one attack on the hubs of a testbed. docs/security.md lists the names of all attacks.
type attack struct {
	name string
	try  func(t *testing.T, f *testbed)
}

// attacks lists all attacks. They run in parallel. Therefore each attack publishes to topics of its
// own.
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
	t.Run("try", func(t *testing.T) { // attacks do not call t.Parallel, which would start them in any order
		var running sync.WaitGroup
		defer running.Wait()
		slots := make(chan struct{}, 12) // limits how many attacks run at once; most of them wait most of the time
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

// longestFirst returns all attacks in the order in which they start. Attacks that wait for timeouts come first, so that
// other attacks run while they wait.
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

// leakAttack is the name of the last attack, which searches the output of the hubs for the secrets
// that all other attacks have sent.
const leakAttack = "finally, a search for tokens and secrets in all logs, metrics and errors of the hubs"

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

// docs/security.md promises that connections are closed within a second after a token has ended. A busy
// machine may need longer. Therefore the tests log the time, and fail only if it is more than a minute. If
// TRIVIUM_LONG is set, which requires an idle machine, they fail if it is more than three seconds.
const promised = time.Second

var allowed = func() time.Duration {
	if os.Getenv("TRIVIUM_LONG") != "" {
		return 3 * time.Second
	}
	return time.Minute
}()

// inTime logs how long an action took, and the time that docs/security.md promises. It requires that the
// action took less than allowed.
func inTime(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s took %v; the promised time is %v", what, took.Round(time.Millisecond), promised)
	require.Less(t, took, allowed, what)
}
