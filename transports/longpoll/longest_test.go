package longpoll_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
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

// silentLog is an engine whose methods SeqAt and Count always return hub.ErrUnavailable.
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
	return []*hub.Event{{ID: hub.Cursor{Epoch: 1, Seq: 100}}}, nil // all earlier events are removed
}

func (silentLog) SeqAt(context.Context, time.Time) (uint64, error) { return 0, hub.ErrUnavailable }

func (silentLog) Count(context.Context, hub.FilterSet, int) (int, error) {
	return 0, hub.ErrUnavailable
}

// stalledLog is an engine that imitates a stopped server: while stalled is set, each read of the log
// blocks until its context ends.
type stalledLog struct {
	silentLog
	stalled atomic.Bool
}

// wait returns immediately unless the log is stalled. If it is stalled, wait blocks until the context
// ends.
func (l *stalledLog) wait(ctx context.Context) {
	if l.stalled.Load() {
		<-ctx.Done()
	}
}

func (l *stalledLog) LastSeq(ctx context.Context) (uint64, error) {
	l.wait(ctx)
	return 100, ctx.Err()
}

func (l *stalledLog) ReadAfter(ctx context.Context, seq uint64, limit hub.ReadLimit) ([]*hub.Event, error) {
	if l.wait(ctx); ctx.Err() != nil {
		return nil, hub.ErrUnavailable
	}
	return l.silentLog.ReadAfter(ctx, seq, limit)
}

func (l *stalledLog) SeqAt(ctx context.Context, _ time.Time) (uint64, error) {
	l.wait(ctx)
	return 0, hub.ErrUnavailable
}

func (l *stalledLog) Count(ctx context.Context, _ hub.FilterSet, _ int) (int, error) {
	l.wait(ctx)
	return 0, hub.ErrUnavailable
}

// stalledSeeker is a stalledLog that also implements the optional interface hub.Seeker.
type stalledSeeker struct{ *stalledLog }

func (l stalledSeeker) Newest(ctx context.Context, _ hub.FilterSet, _ uint64, _ int) ([]uint64, error) {
	l.wait(ctx)
	return nil, hub.ErrUnavailable
}

func (l stalledSeeker) ReadEach(ctx context.Context, _ []uint64, _ hub.ReadLimit) ([]*hub.Event, error) {
	l.wait(ctx)
	return nil, hub.ErrUnavailable
}

// A poll is answered at most one second after the time in its parameter wait, even if calls of the log
// block. The queries need the log for different reasons: to read old events, to find the start position
// for last or since, and to check a cursor that may be after the newest event.
func TestPollIsOnTimeWhileLogStalls(t *testing.T) {
	for _, seeks := range []bool{false, true} {
		for _, query := range []string{
			"", "&cursor=00000001-5", "&cursor=00000001-200", "&cursor=00000002-5", "&topic=a&last=3", "&topic=a.*&last=3", "&last=3", "&since=5m",
			"&topic=a&cursor=00000001-5", "&topic=a&topic=b.*&last=1000&max=1000",
		} {
			for _, wait := range []int{0, 1, 25} {
				synctest.Test(t, func(t *testing.T) {
					log := new(stalledLog)
					var engine hub.Engine = log
					if seeks {
						engine = stalledSeeker{log}
					}
					h, err := hub.New(hub.Config{Engine: engine})
					require.NoError(t, err)
					log.stalled.Store(true)
					group := connection.NewRegistry(0, 0)
					token := tt.NewToken(&auth.Grant{Subscribe: hub.NewFilterSet(hub.Everything)})
					polls := tt.Must(longpoll.New(longpoll.Config{
						Hub: h, Registry: group, Counters: new(connection.Counters), WriteTimeout: time.Second,
					}))
					w := httptest.NewRecorder()
					begin := time.Now()
					tt.Authorized(token, polls).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/poll?wait="+strconv.Itoa(wait)+query, nil))
					require.LessOrEqual(t, time.Since(begin), time.Duration(wait+1)*time.Second, "seeks %t: wait=%d%s", seeks, wait, query)
					require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, w.Code, "seeks %t: wait=%d%s", seeks, wait, query)
					group.Close()
					require.NoError(t, h.Close())
				})
			}
		}
	}
}

// Every poll is answered after at most 55 seconds, because many proxies time out after a minute.
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
		{silentLog{}, "&since=5m", 30, http.StatusServiceUnavailable, 30 * time.Second},
		{silentLog{}, "&since=5m", 52, http.StatusServiceUnavailable, 52 * time.Second},
		{silentLog{}, "&since=5m", 60, http.StatusServiceUnavailable, 55 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, err := hub.New(hub.Config{Engine: row.engine})
			require.NoError(t, err)
			group := connection.NewRegistry(0, 0)
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
