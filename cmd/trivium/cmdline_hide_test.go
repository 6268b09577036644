package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMaskArgs(t *testing.T) {
	const masked = "***"
	for _, row := range []struct{ args, want []string }{
		{nil, nil},
		{[]string{"serve", "--nats-url", "nats://u:p@a,nats://b"}, []string{"serve", "--nats-url", "nats://***@a,nats://b"}},
		{[]string{"serve", "--nats-url=nats://u:p@a", "--jwks-url", "https://x/y?key=a=b"}, []string{"serve", "--nats-url=nats://***@a", "--jwks-url", "https://x/y?***"}},
		{[]string{"pub", "--token", "a-token", "a.b", "http://u:p@a?b"}, []string{"pub", "--token", masked, "a.b", "http://u:p@a?b"}},
		{[]string{"sub", "--token=a-token", "--url=http://u:p@a", ">"}, []string{"sub", "--token=" + masked, "--url=http://***@a", ">"}},
		{[]string{"backup", "--admin-url", "http://u:p@a"}, []string{"backup", "--admin-url", "http://***@a"}},
		{[]string{"bench", "--target", "http://u:p@a", "--nats-url=tls://token@b"}, []string{"bench", "--target", "http://***@a", "--nats-url=tls://***@b"}},
		{[]string{"serve", "--tokens", "file", "--token", "", "--url="}, []string{"serve", "--tokens", "file", "--token", "", "--url="}},
		{[]string{"token", "alice", "--tokens=x", "--token"}, []string{"token", "alice", "--tokens=x", "--token"}},
	} {
		got := maskArgs(row.args)
		require.Equal(t, row.want, got)
		require.Equal(t, row.want, maskArgs(got), "masked arguments are not changed")
		require.Equal(t, row.args, restoreArgs(got, hideArgs(row.args, got)))
	}
}

// TestRestoreArgsOfAnotherCommand checks that restoreArgs ignores a value of hiddenArgs that does not match
// the masked arguments.
func TestRestoreArgsOfAnotherCommand(t *testing.T) {
	args := []string{"sub", "--token", "***", ">"}
	for _, hidden := range []string{"", "null", "[]", `{"3":"a.b"}`, `{"4":"x"}`, `{"-1":"x"}`, `{"1":"--last"}`, `{"2":""}`, `{"2":2}`} {
		require.Equal(t, args, restoreArgs(args, hidden), hidden)
	}
}
