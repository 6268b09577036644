// Package testkit helps to test programs that contain a hub. Main runs tests, and fails if they leave goroutines behind,
// such as those of a Hub that was not closed. FreePorts returns ports for servers of tests that run in parallel.
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
//
// The tests of Trivium use it too. The package starts no goroutine.
package testkit

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is the time within which goroutines must end after the last test. goleak by itself waits
// less than half a second. On a busy machine, goroutines of a server or a library may end later than
// half a second after its Close has returned.
const patience = time.Minute

// tests is implemented by *testing.M.
type tests interface{ Run() int }

// Main runs the tests of a package and exits. It fails if the tests leave a goroutine running, except
// goroutines that the options ignore.
func Main(m tests, options ...goleak.Option) { os.Exit(Run(m, options...)) }

// Run does the same as Main, but returns the exit code instead of exiting.
func Run(m tests, options ...goleak.Option) (code int) {
	if code = m.Run(); code != 0 {
		return code
	}
	for begin := time.Now(); ; {
		err := goleak.Find(options...)
		if err == nil {
			return 0
		}
		if time.Since(begin) > patience {
			fmt.Fprintf(os.Stderr, "after successful tests: %v\n", err)
			return 1
		}
	}
}
