package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/jetstream"
)

// Errors of package jetstream name the fields of its configuration. nameFlags adds the flags that set these fields.
func TestEngineErrorsNameFlags(t *testing.T) {
	age := &jetstream.ConfigError{Field: "Retention.Age", Detail: "max age: want 10m0s, the stream has 1h0m0s"}
	replicas := &jetstream.ConfigError{Field: "Replicas", Detail: "replicas: want 3, the stream has 1"}
	err := nameFlags(fmt.Errorf("stream: %w", errors.Join(age, errors.New("subjects"), replicas)))
	require.ErrorContains(t, err, "(see --retain-age, --replicas)")
	require.ErrorIs(t, err, age)
	other := errors.New("other")
	require.Equal(t, other, nameFlags(other))
	require.NoError(t, nameFlags(nil))
}
