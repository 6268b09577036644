package web

import (
	"context"
	"maps"
	"net/http"
	"sync"

	"github.com/trivium-hub/trivium/transports/problems"
)

// ProblemCounts counts refused requests by problem code, for all transports.
type ProblemCounts struct {
	mu     sync.Mutex
	byCode map[string]uint64
}

type problemsKey struct{}

// Context returns a context for HTTP requests, derived from ctx. For a request with this context,
// CountProblem and WriteProblem count the problem in p.
func (p *ProblemCounts) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, problemsKey{}, p)
}

// ByCode returns the number of problems by code. It omits codes that did not occur.
func (p *ProblemCounts) ByCode() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.byCode)
}

// CountProblem counts a problem that is sent without WriteProblem, for example in a WebSocket message.
func CountProblem(r *http.Request, problem *problems.Problem) {
	p, ok := r.Context().Value(problemsKey{}).(*ProblemCounts)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byCode == nil {
		p.byCode = make(map[string]uint64)
	}
	p.byCode[problem.Code]++
}
