package docs

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/transports/udp"
)

var (
	signedExample = regexp.MustCompile("(?s)The secret `([^`]+)`.*?```\n([0-9a-f]{64} [^\n]+)\n```")
	problemRow    = regexp.MustCompile("(?m)^\\| \\d{3} \\| `([a-z-]+)` \\|")
	problemCode   = regexp.MustCompile(`(?m)^\tCode\w+ += "([a-z-]+)"`)
	closeRow      = regexp.MustCompile(`(?m)^\| ([14]\d{3}) \|`)
	closeExample  = regexp.MustCompile(`(?m)^< close (\d{4})`)
	anyFlag       = regexp.MustCompile("`--([a-z0-9-]+)")
)

func readProtocol(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(protocolPage)
	require.NoError(t, err)
	return string(page)
}

// matches returns all strings in text that the first group of the pattern matches, sorted and without duplicates.
func matches(pattern *regexp.Regexp, text string) (found []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestProtocolSignedDatagram(t *testing.T) {
	match := signedExample.FindStringSubmatch(readProtocol(t))
	require.NotNil(t, match)
	_, payload, err := udp.Verify([]byte(match[1]), []byte(match[2]))
	require.NoError(t, err)
	require.NotEmpty(t, payload)
	require.True(t, bytes.HasSuffix([]byte(match[2]), payload))
}

// The table of errors in docs/protocol.md lists exactly the codes of transports/problems.
func TestProtocolListsProblems(t *testing.T) {
	source, err := os.ReadFile(repository + "/transports/problems/problems.go")
	require.NoError(t, err)
	require.Equal(t, matches(problemCode, string(source)), matches(problemRow, readProtocol(t)))
}

// docs/protocol.md contains an example for every close code except 1011. An example cannot cause this code,
// because the hub sends it only after an internal error.
func TestProtocolShowsCloseCodes(t *testing.T) {
	page := readProtocol(t)
	listed := slices.DeleteFunc(matches(closeRow, page), func(code string) bool { return code == "1011" })
	require.Equal(t, listed, matches(closeExample, page))
}

// Every flag that docs/protocol.md names is in the help of trivium serve.
func TestProtocolNamesFlags(t *testing.T) {
	help, err := hubtest.Program(t, nil, "serve", "--help").CombinedOutput()
	require.NoError(t, err)
	for _, flag := range matches(anyFlag, readProtocol(t)) {
		if flag != "experimental-websocket" && !strings.Contains(string(help), "--"+flag) {
			t.Errorf("docs/protocol.md names --%s, which is not a flag of trivium serve", flag)
		}
	}
}
