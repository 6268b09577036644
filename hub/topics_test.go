package hub

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// treeWithLosses returns a tree in which each topic has lost its only event.
func treeWithLosses(limit, topics int, topic func(i int) string) *topicTree {
	t := newTopicTree(limit, 0)
	for i := range topics {
		e := &Event{ID: Cursor{Seq: uint64(i) + 1}, Topic: topic(i)}
		t.push(e)
		t.pop(e)
	}
	return &t
}

// If topics have 16 tokens that no other topic has, the losses of fewer topics are recorded, so
// that memory stays within its limit.
func TestLostTopicsTakeBoundedMemory(t *testing.T) {
	const limit = 4096
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	tree := treeWithLosses(limit, 2*limit, func(i int) string {
		tokens := make([]string, MaxTopicTokens)
		for at := range tokens {
			tokens[at] = fmt.Sprintf("%08x", i<<4+at)
		}
		return strings.Join(tokens, ".")
	})
	used := heap() - before
	t.Logf("the losses of %d of at most %d topics take %d KiB", tree.lossTopics, limit, used>>10)
	require.Less(t, used, int64(2*lossSize*limit))
	require.Greater(t, tree.lossTopics, limit/64)
	runtime.KeepAlive(tree)
}

// If topics have one token that no other topic has, losses are recorded up to the limit of topics.
func TestLostTopicsOfOneToken(t *testing.T) {
	tree := treeWithLosses(4096, 8192, func(i int) string { return fmt.Sprintf("orders.%d", i) })
	require.Equal(t, 4096, tree.lossTopics)
}
