package hubs

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// The hub prints the token that it has generated only if its output is a terminal or --print-token is
// set. Otherwise, because the output may be stored in a journal, it explains how to create a token.
func TestTokenIsPrintedOnTerminalsAlone(t *testing.T) {
	args := slices.DeleteFunc(slices.Clone(hubtest.AnyPorts), func(arg string) bool { return arg == "--print-token" })
	p := hubtest.Start(t, hubtest.Program(t, nil, args...))
	require.Equal(t, "TOKEN", p.Token)
	require.Contains(t, p.Log(), "trivium token NAME --tokens FILE")
	require.Contains(t, p.Log(), "--print-token")
}

// TestFixedToken checks that the hub accepts the token in the variable TRIVIUM_TOKEN, and does not log this token.
func TestFixedToken(t *testing.T) {
	t.Parallel()
	p := hubtest.Start(t, hubtest.Program(t, []string{"TRIVIUM_TOKEN=development"}, slices.DeleteFunc(slices.Clone(hubtest.AnyPorts), func(a string) bool { return a == "--print-token" })...))
	require.Contains(t, p.Log(), "TOKEN stands for the token of --token or TRIVIUM_TOKEN.")
	require.NotContains(t, p.Log(), "development")
	require.Contains(t, p.Log(), "/demo/examples/#token=TOKEN\n")
	require.NotContains(t, p.Log(), "/demo/#token") // the tested binary has no demo page
	p.Token = "development"
	p.Publish("application/json", `{"topic":"a","data":1}`)
	p.Token = "other"
	status, _ := p.Request("GET", "http://"+p.HTTP+"/poll?wait=0", "", "")
	require.Equal(t, 401, status)
}

// TestPubNamesTheVariableOfTheToken checks that the errors of pub and sub, started without a token,
// name the variable to set.
func TestPubNamesTheVariableOfTheToken(t *testing.T) {
	t.Parallel()
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	for _, args := range [][]string{{"pub", "--url", "http://" + p.HTTP, "a", "1"}, {"sub", "--url", "http://" + p.HTTP}} {
		require.Contains(t, hubtest.Transcript(t, hubtest.Program(t, nil, args...)), "set TRIVIUM_TOKEN")
	}
}
