package docs

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// documented lists the pages whose commands TestDocumentedCommands runs, in the order in which it
// runs them.
var documented = []string{"README.md", "docs/publishing.md", "docs/security.md"}

// outcomes lists the expected output of the commands. An entry matches a command that contains the string
// in the field part; the output of this command must contain the string in the field prints. If several
// entries match a command, the first one applies. The test fails if no entry applies to a command, or if an
// entry applies to no command.
var outcomes = []struct {
	part, prints string
	endless      bool // the command runs until it is stopped
}{
	{part: "curl -N", prints: "1.50", endless: true},
	{part: "trivium sub", prints: "1.50", endless: true},
	{part: "http.server", prints: "Serving HTTP", endless: true},
	{part: "/poll?", prints: `{"cursor":"`},
	{part: "seq 1000", prints: `"count":1000}`},
	{part: "seq 3", prints: "3 "},
	{part: `"notes"`, prints: `"count":2}`},
	{part: "/publish/", prints: `"count":1}`},
	{part: "trivium pub --udp", prints: ""},
	{part: "trivium pub", prints: "-"},
	{part: "trivium token --check", prints: "has no entry for it"},
	{part: "trivium token", prints: "\n"},
	{part: "serve --check", prints: ""},
	{part: "openssl rand", prints: ""},
	{part: "chmod", prints: ""},
	{part: "/readyz", prints: ""},
	{part: "/metrics", prints: "trivium_engine_up 1\n"},
	{part: "trivium bench", prints: "fanout"},
}

// TestDocumentedCommands runs every command of the README, docs/publishing.md and docs/security.md. It does
// not clone the repository, but uses the files beside the test. It replaces the default ports by free ports,
// and the placeholder of the token by the hub's token. The commands of each page run in a separate directory.
func TestDocumentedCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("the test builds trivium, which takes a long time")
	}
	t.Parallel()
	hubtest.NeedTool(t, "curl", "a Debian package of that name")
	hubtest.NeedTool(t, "bash", "a Debian package of that name")
	hubtest.NeedTool(t, "python3", "a Debian package of that name")
	hubtest.NeedTool(t, "openssl", "a Debian package of that name")
	s := &shell{t: t, bin: t.TempDir(), used: map[string]bool{}}
	for _, page := range documented {
		text, err := os.ReadFile(filepath.Join(repository, page))
		require.NoError(t, err)
		s.dir = t.TempDir()
		for _, command := range shellCommands(string(text)) {
			s.run(command)
		}
	}
	require.NotNil(t, s.hub, "a command on one of the pages starts a hub")
	s.stopEndless()
	for _, outcome := range outcomes {
		require.True(t, s.used[outcome.part], "a command contains %q", outcome.part)
	}
}

// shellCommands returns the commands in the sh blocks of a page, without comments. A line that ends
// with a backslash or a pipe is joined with the next line.
func shellCommands(page string) (commands []string) {
	for _, block := range regexp.MustCompile("(?sm)^```sh\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		var command string
		for line := range strings.Lines(block[1]) {
			trimmed := strings.TrimSpace(line)
			if command == "" && (trimmed == "" || strings.HasPrefix(trimmed, "#")) {
				continue
			}
			command += line
			if !strings.HasSuffix(trimmed, `\`) && !strings.HasSuffix(trimmed, "|") {
				commands = append(commands, strings.TrimSpace(command))
				command = ""
			}
		}
	}
	return commands
}

// shell runs the commands of the pages, with one hub for all of them.
type shell struct {
	t        *testing.T
	dir, bin string // working directory of the commands, and the directory in which go install installs the program
	hub      *hubtest.Process
	settings string // assignments of shell variables in the commands so far
	endless  []*endlessCommand
	used     map[string]bool
}

type endlessCommand struct {
	text, prints string
	cmd          *exec.Cmd
	out          string // path of the file with the output
}

// modulePath is the import path of the module.
const modulePath = "github.com/trivium-hub/trivium"

func (s *shell) run(command string) {
	s.t.Helper()
	switch {
	case strings.HasPrefix(command, "go install "):
		cmd := exec.Command("bash", "-c", command)
		cmd.Dir = repository
		cmd.Env = append(os.Environ(), "GOBIN="+s.bin)
		out, err := cmd.CombinedOutput()
		require.NoError(s.t, err, string(out))
	case strings.HasPrefix(command, "git clone "): // instead of a clone, the commands use the tree of this test
		require.Equal(s.t, "git clone https://"+modulePath, command)
	case command == "cd "+path.Base(modulePath):
	case serveCommand.MatchString(command) && !strings.Contains(command, "--check"):
		cmd := s.command(s.withValues("exec env " + command))
		cmd.Env = append(cmd.Env, "TRIVIUM_HTTP=127.0.0.1:0", "TRIVIUM_UDP=127.0.0.1:0", "TRIVIUM_ADMIN=127.0.0.1:0", "TRIVIUM_PRINT_TOKEN=true")
		if hub := hubtest.Start(s.t, cmd); s.hub == nil {
			s.hub = hub
		}
	case regexp.MustCompile(`^[A-Z]+=\S+$`).MatchString(command):
		s.settings += command + "\n"
	default:
		s.runAtHub(command)
	}
}

// serveCommand matches a command that starts a hub. Assignments of environment variables may precede it.
var serveCommand = regexp.MustCompile(`^([A-Z_]+=\S+ )*trivium serve`)

// withValues returns the command with the hub's token instead of the placeholder, preceded by the assignments of shell
// variables in earlier commands.
func (s *shell) withValues(command string) string {
	token := ""
	if s.hub != nil {
		token = s.hub.Token
	}
	return strings.ReplaceAll(s.settings+command, "the-token-that-serve-printed", token)
}

// command returns a command that runs text with bash. In its PATH, the trivium that go install has installed precedes
// any other.
func (s *shell) command(text string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", "set -euo pipefail\n"+text)
	cmd.Dir = s.dir
	cmd.Env = []string{"PYTHONUNBUFFERED=1", "PATH=" + s.bin + ":" + os.Getenv("PATH"), "HOME=" + s.dir}
	return cmd
}

func (s *shell) runAtHub(command string) {
	s.t.Helper()
	require.NotNil(s.t, s.hub, "a hub was started before the command %s", command)
	text := strings.NewReplacer("127.0.0.1:3002", s.hub.Admin, "http.server 8000", "http.server 0").Replace(s.withValues(command))
	text = strings.ReplaceAll(text, "--udp 127.0.0.1:3000", "--udp "+s.hub.UDP)
	text = strings.ReplaceAll(text, "127.0.0.1:3000", s.hub.HTTP)
	for _, outcome := range outcomes {
		if !strings.Contains(command, outcome.part) {
			continue
		}
		s.used[outcome.part] = true
		out, err := os.CreateTemp(s.dir, "out")
		require.NoError(s.t, err)
		cmd := s.command(text)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(s.t, cmd.Start())
		require.NoError(s.t, out.Close())
		if outcome.endless {
			s.endless = append(s.endless, &endlessCommand{command, outcome.prints, cmd, out.Name()})
			s.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			return
		}
		hang := time.AfterFunc(hubtest.Patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		err = cmd.Wait()
		hang.Stop()
		printed, readErr := os.ReadFile(out.Name())
		require.NoError(s.t, readErr)
		require.NoError(s.t, err, "%s\n%s", command, printed)
		require.Contains(s.t, string(printed), outcome.prints, command)
		return
	}
	s.t.Fatalf("no expected output for the command %s", command)
}

// stopEndless waits until each endless command has printed its expected output, and stops it.
func (s *shell) stopEndless() {
	s.t.Helper()
	for _, e := range s.endless {
		require.Eventually(s.t, func() bool {
			printed, err := os.ReadFile(e.out)
			return err == nil && strings.Contains(string(printed), e.prints)
		}, hubtest.Patience, 20*time.Millisecond, "%s prints %q", e.text, e.prints)
		require.NoError(s.t, syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL))
		_ = e.cmd.Wait()
	}
}
