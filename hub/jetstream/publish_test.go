package jetstream

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// TestIsRefused checks that isRefused is true only for errors of requests that were certainly not
// executed.
func TestIsRefused(t *testing.T) {
	api := func(code int, number jetstream.ErrorCode) error {
		return &jetstream.APIError{Code: code, ErrorCode: number}
	}
	for _, row := range []struct {
		name    string
		err     error
		refused bool
	}{
		{"no responders", nats.ErrNoResponders, true},
		{"no stream response", jetstream.ErrNoStreamResponse, true},
		{"no leader", api(503, 10008), true},
		{"too many requests", api(429, 10167), true},
		{"too many batches", api(429, 10210), true},
		{"incomplete batch", api(400, errIncompleteBatch), true},
		{"duplicate ID", api(400, errDuplicate), false},
		{"key in use", api(409, errInProcess), false},
		{"too large", api(400, 10054), false},
		{"no answer", nats.ErrTimeout, false},
		{"no answer in time", context.DeadlineExceeded, false},
		{"canceled", context.Canceled, false},
		{"closed", nats.ErrConnectionClosed, false},
		{"another error", errors.New("anything"), false},
	} {
		require.Equal(t, row.refused, isRefused(fmt.Errorf("wrapped: %w", row.err)), row.name)
	}
}
