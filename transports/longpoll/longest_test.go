package longpoll_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/longpoll"
)

// silentLog is an engine whose log does not answer where the newest events of a filter start.
type silentLog struct{}

func (silentLog) Start(func([]*hub.Event)) (hub.Cursor, error) {
	return hub.Cursor{Epoch: 1, Seq: 100}, nil
}

func (silentLog) Publish(context.Context, []*hub.Event) (hub.Cursor, error) {
	return hub.Cursor{}, hub.ErrUnavailable
}

func (silentLog) Close() error { return nil }

func (silentLog) LastSeq(context.Context) (uint64, error) { return 100, nil }

func (silentLog) ReadAfter(context.Context, uint64, hub.ReadLimit) ([]*hub.Event, error) {
	return []*hub.Event{{ID: hub.Cursor{Epoch: 1, Seq: 100}}}, nil // all earlier events are gone
}

func (silentLog) SeqAt(context.Context, time.Time) (uint64, error) { return 0, hub.ErrUnavailable }

func (silentLog) Count(context.Context, hub.FilterSet, int) (int, error) {
	return 0, hub.ErrUnavailable
}

// Many proxies time out after a minute, so every poll is answered before that, whatever it waits
// for.
func TestLongestPoll(t *testing.T) {
	for _, row := range []struct {
		engine hub.Engine
		query  string
		wait   int
		status int
		want   time.Duration
	}{
		{nil, "", 25, http.StatusOK, 25 * time.Second},
		{nil, "", 55, http.StatusOK, 55 * time.Second},
		{nil, "", 60, http.StatusOK, 55 * time.Second},
		{silentLog{}, "&since=5m", 0, http.StatusServiceUnavailable, 900 * time.Millisecond},
		{silentLog{}, "&since=5m", 30, http.StatusServiceUnavailable, 30900 * time.Millisecond},
		{silentLog{}, "&since=5m", 52, http.StatusServiceUnavailable, 52900 * time.Millisecond},
		{silentLog{}, "&since=5m", 60, http.StatusServiceUnavailable, 55 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, err := hub.New(hub.Config{Engine: row.engine})
			require.NoError(t, err)
			group := connection.NewRegistry(0)
			token := tt.NewToken(&auth.Grant{Subscribe: hub.NewFilterSet(hub.Everything)})
			polls := tt.Must(longpoll.New(longpoll.Config{
				Hub: h, Registry: group, Counters: new(connection.Counters), WriteTimeout: time.Second,
			}))
			w := httptest.NewRecorder()
			begin := time.Now()
			tt.Authorized(token, polls).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/poll?wait="+strconv.Itoa(row.wait)+row.query, nil))
			require.Equal(t, row.want, time.Since(begin), "wait=%d%s", row.wait, row.query)
			require.Equal(t, row.status, w.Code)
			require.Equal(t, row.status != http.StatusOK, w.Header().Get("Retry-After") != "")
			group.Close()
			require.NoError(t, h.Close())
		})
	}
}
