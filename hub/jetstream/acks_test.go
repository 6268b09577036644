package jetstream

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// TestAcksCountLeading checks that only messages stored before the first failure are counted as
// leading.
func TestAcksCountLeading(t *testing.T) {
	a := &acks{prefix: "_INBOX.x.", groups: make(map[uint64]*ackGroup)}
	id, reply, f := a.add(4)
	for _, answer := range []string{
		`{"stream":"s","seq":7}`, `{"stream":"s","seq":8}`, `{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"s","seq":0}`, `{"stream":"s","seq":9}`,
	} {
		a.onAck(&nats.Msg{Subject: reply, Data: []byte(answer)})
	}
	<-f.answered
	of := a.remove(id)
	require.Error(t, of.failed)
	of.failed = nil
	require.Equal(t, outcome{stored: 3, leading: 2, first: 7, last: 9}, of)

	id, reply, _ = a.add(2)
	a.onAck(&nats.Msg{Subject: reply, Data: []byte(`{"stream":"s","seq":10}`)})
	of = a.remove(id)
	require.Equal(t, 1, of.leading)
	require.ErrorContains(t, errors.Join(of.failed), "does not answer")
}
