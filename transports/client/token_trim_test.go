package client

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTokenIsTrimmed checks that white space around a token is removed, and that white space inside
// a token is refused.
func TestTokenIsTrimmed(t *testing.T) {
	for _, value := range []string{"token", "token\n", "\r\n\ttoken \r\n"} {
		var workers sync.WaitGroup
		v := newTokenCache(t.Context(), StaticToken(value), &workers)
		call := v.fetchAsync()
		<-call.done
		require.NoError(t, call.err)
		require.Equal(t, "token", call.token)
		require.Equal(t, "token", v.value())
		workers.Wait()
	}
	for _, value := range []string{"", "\n", "to ken", "to\nken", "token\x00"} {
		var workers sync.WaitGroup
		v := newTokenCache(context.Background(), StaticToken(value), &workers)
		call := v.fetchAsync()
		<-call.done
		require.ErrorIs(t, call.err, errTokenSyntax, "%q", value)
		workers.Wait()
	}
}
