package publish

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// In a stream to POST /publish/{topic}, the lines before the first refused line are published, and the
// answer contains the number of the refused line.
func TestLinesOfATopic(t *testing.T) {
	f := newFixture(t, 0)
	for _, c := range []struct {
		line      string
		status    int
		parameter string
	}{
		{"{", http.StatusBadRequest, "body"},
		{"plain text", http.StatusBadRequest, "body"},
		{`"` + strings.Repeat("a", maxEventSize) + `"`, http.StatusRequestEntityTooLarge, "data"},
		{strings.Repeat(" ", maxEventSize+bodyOverhead) + "1", http.StatusRequestEntityTooLarge, "data"},
	} {
		w, problem := f.do(http.MethodPost, "/publish/orders.a?type=t", asLines, strings.NewReader("1\n\n"+c.line+"\n3"))
		require.Equal(t, c.status, w.Code, c.line)
		require.Equal(t, c.parameter, problem.Parameter)
		require.Equal(t, []int{3, 1}, []int{*problem.Line, *problem.Accepted}, c.line)
		require.Equal(t, []string{"orders.a t  0:1"}, f.published(t))
	}
}
