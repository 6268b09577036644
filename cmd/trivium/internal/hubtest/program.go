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

// asProgram is an environment variable that makes a test binary act as the program.
const asProgram = "TEST_AS_TRIVIUM"

var (
	isProgram bool // the test binary can act as the program

	// SharedDir is a directory for files that several tests of a package use. Main removes it.
	SharedDir string
)

// Main runs the tests of a package and exits. It fails if they leave a goroutine behind. program is the main function
// of the program, which the test binary calls when Program has started it; it is nil if the package is not the program's
// own, and then Program builds the program.
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
		// A link of toxiproxy never ends if its reader ended while the link was writing.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"))
	os.RemoveAll(SharedDir)
	os.Exit(code)
}

// runManyInParallel raises the number of parallel tests unless -parallel is set, because the tests mostly wait.
func runManyInParallel() {
	const parallel = "12"
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", parallel) // cannot fail: the value is a number
	}
}

// Program returns a command that runs the program with the arguments and only these environment variables.
func Program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	// Without this setting, the race detector sleeps for a second at the end.
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

// Binary returns a command that runs the program as a user would build it, for tests of memory, which the race detector
// would change.
func Binary(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(builds[false].in(t), args...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	return cmd
}

// builds are the builds of the program: with the race detector, and without.
var builds = map[bool]*Info{true: {name: "trivium-race", flags: []string{"-race"}}, false: {name: "trivium"}}

// Info builds the program once.
type Info struct {
	name  string
	flags []string

	once sync.Once
	path string
	err  error
	out  []byte
}

// in builds the program if that has not happened yet, and returns its path.
func (b *Info) in(t *testing.T) string {
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

// trackSources reads the directories of the module. go test reuses the result of a test binary only if the files that it
// has read are unchanged, and cannot detect that the tests depend on the program.
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
