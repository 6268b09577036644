package client

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTokenWithNewline: what a source gives is used without the white space around it.
func TestTokenWithNewline(t *testing.T) {
	for _, value := range []string{"token", "token\n", "\r\n\ttoken \r\n"} {
		var workers sync.WaitGroup
		v := newVault(t.Context(), StaticToken(value), &workers)
		call := v.ask()
		<-call.done
		require.NoError(t, call.err)
		require.Equal(t, "token", call.token)
		require.Equal(t, "token", v.value())
		workers.Wait()
	}
	for _, value := range []string{"", "\n", "to ken", "to\nken", "token\x00"} {
		var workers sync.WaitGroup
		v := newVault(context.Background(), StaticToken(value), &workers)
		call := v.ask()
		<-call.done
		require.ErrorIs(t, call.err, errTokenForm, "%q", value)
		workers.Wait()
	}
}
