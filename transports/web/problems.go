package web

import (
	"context"
	"maps"
	"net/http"
	"sync"

	"github.com/trivium-hub/trivium/transports/wire"
)

// Problems counts by its code what requests are refused for, however their transport tells it.
type Problems struct {
	mu     sync.Mutex
	byCode map[string]uint64
}

type problemsKey struct{}

// Context makes a context for requests whose problems count here.
func (p *Problems) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, problemsKey{}, p)
}

// ByCode gives the counts of those that there were.
func (p *Problems) ByCode() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.byCode)
}

// Count counts the problem of a request that is not answered by WriteProblem.
func Count(r *http.Request, problem *wire.Problem) {
	p, ok := r.Context().Value(problemsKey{}).(*Problems)
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
