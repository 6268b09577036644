package hubtest

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivium-hub/trivium/hub/testkit"
)

// asProgram is an environment variable that makes a test binary run as trivium.
const asProgram = "TEST_AS_TRIVIUM"

var (
	isProgram bool // the test binary can run as trivium

	// SharedDir is a directory for files that several tests of a package use. Main removes it.
	SharedDir string
)

// Main runs the tests of a package and exits. It fails if the tests leave a goroutine behind.
//
// In package main, the parameter program is the main function of trivium. The command that Program returns
// then executes the test binary again. In that process, Main calls program instead of running the tests. In
// other packages, program is nil, and Program builds a binary of trivium.
func Main(m *testing.M, program func()) {
	if program != nil && os.Getenv(asProgram) != "" {
		program()
		return
	}
	isProgram = program != nil
	runManyInParallel()
	var err error
	if SharedDir, err = os.MkdirTemp("", "trivium-test-"); err != nil {
		panic(err)
	}
	code := testkit.Run(m,
		// These goroutines of toxiproxy never end if a connection was closed while they were writing.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"))
	os.RemoveAll(SharedDir)
	os.Exit(code)
}

// runManyInParallel raises the number of parallel tests unless -parallel is set. More tests than cores can run in
// parallel, because they wait most of the time.
func runManyInParallel() {
	const parallel = "12"
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", parallel) // cannot fail: the value is a number
	}
}

// Program returns a command that runs trivium with the arguments. The environment of the command contains
// only the variables in env and some that the tests need.
func Program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	// Without this value of GORACE, the race detector sleeps for a second before the process exits.
	env = append([]string{"HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}, env...)
	path := ""
	if isProgram {
		var err error
		path, err = os.Executable()
		require.NoError(t, err)
		env = append(env, asProgram+"=1")
	} else {
		path = builds[raceDetector].in(t)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = env
	return cmd
}

// Binary returns a command that runs trivium, built without the race detector, because the race detector
// increases the use of memory.
func Binary(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(builds[false].in(t), args...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	return cmd
}

// builds contains the binaries of trivium. The key states whether the binary is built with the race detector.
var builds = map[bool]*binary{true: {name: "trivium-race", flags: []string{"-race"}}, false: {name: "trivium"}}

// binary is a binary of trivium, which is built when it is first needed.
type binary struct {
	name  string
	flags []string

	once sync.Once
	path string
	err  error
	out  []byte
}

// in builds the binary if this was not done yet, and returns its path.
func (b *binary) in(t *testing.T) string {
	t.Helper()
	b.once.Do(func() {
		root := ModuleRoot(t)
		b.path = filepath.Join(SharedDir, b.name)
		cmd := exec.Command("go", append(append([]string{"build", "-o", b.path}, b.flags...), "./cmd/trivium")...)
		cmd.Dir = root
		if b.out, b.err = cmd.CombinedOutput(); b.err == nil {
			b.err = trackSources(root)
		}
	})
	require.NoError(t, b.err, string(b.out))
	return b.path
}

// trackSources reads the directories of the module. The command go test caches the results of tests, and does not know
// that these tests depend on the source of trivium. It runs a test again if a directory that the test has read has
// changed.
func trackSources(root string) error {
	return filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		return err
	})
}

// ModuleRoot returns the directory of the module that contains the tests.
func ModuleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		require.NotEqual(t, filepath.Dir(dir), dir, "no go.mod above the working directory")
		dir = filepath.Dir(dir)
	}
}

// NewToken runs `trivium token` with the arguments and returns the token that it prints.
func NewToken(t *testing.T, args ...string) string {
	t.Helper()
	cmd := Program(t, nil, append([]string{"token"}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("trivium token: %s", exit.Stderr)
	}
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
