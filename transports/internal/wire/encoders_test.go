package wire_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// encoders contains the encoders by name. Other test files add the encoders of CloudEvents and the
// compressing encoder, which a WebAssembly build does not contain.
var encoders = map[string]func(*hub.Event) []byte{
	"sse":          wire.EncodeSSE,
	"sse-envelope": wire.EncodeSSEEnvelope,
	"frame":        wire.EncodeFrame,
}

func BenchmarkEncode(b *testing.B) {
	order := `{"order":"0017","amount":1250.50,"currency":"EUR","lines":[{"sku":"A-1","n":2},{"sku":"B-7","n":1}],"note":"leave with the neighbour, second door on the left, ring twice, thank you"}`
	for _, size := range []int{200, 4 << 10} {
		e := eventVectors(b)[0].event(b)
		e.Data = bytes.Repeat([]byte(order+"  "), size/len(order)+1)[:size]
		e.Encoding = hub.Text
		for _, name := range slices.Sorted(maps.Keys(encoders)) {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					encoders[name](e)
				}
			})
		}
	}
}
