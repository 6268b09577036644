package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSubscribersDividedEquallyAmongHubs(t *testing.T) {
	for n := 1; n <= maxHubs; n++ {
		p := plan{at: make([]endpoint, n)}
		got := map[*endpoint]int{}
		for i := range 4 * n {
			got[p.of(i)]++
		}
		require.Len(t, got, n)
		for _, subscribers := range got {
			require.Equal(t, 4, subscribers)
		}
	}
}
