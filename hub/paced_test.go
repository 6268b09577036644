package hub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A reader of the log pauses for as long as its reads took, not counting the time for which they waited
// for another process.
func TestReadPacedPauses(t *testing.T) {
	type row struct {
		took, waited time.Duration
		err          error
		pause        time.Duration // length of the pause after this read
	}
	for name, rows := range map[string][]row{
		"long reads":                     {{took: 10 * time.Millisecond, pause: 10 * time.Millisecond}, {took: time.Second, pause: 200 * time.Millisecond}},
		"short reads":                    {{took: minPause / 2}, {took: minPause / 2, pause: minPause}, {took: minPause / 2}},
		"waits":                          {{took: 10 * time.Millisecond, waited: 7 * time.Millisecond, pause: 3 * time.Millisecond}},
		"several waits at the same time": {{took: 10 * time.Millisecond, waited: time.Hour}, {took: 10 * time.Millisecond, pause: 10 * time.Millisecond}},
		"failure":                        {{took: time.Millisecond, err: errors.New("unavailable"), pause: logRetry}},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			wakeup := make(chan struct{}, 1)
			wake(wakeup)
			n := 0
			var end time.Time // end of the previous read
			readPaced(ctx, wakeup, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
				if n > 0 {
					require.Equal(t, rows[n-1].pause, time.Since(end), "%s: after read %d", name, n)
				}
				if n == len(rows) {
					stop()
					return false, nil
				}
				time.Sleep(rows[n].took)
				AddWaitTime(ctx, rows[n].waited)
				n, end = n+1, time.Now()
				return true, rows[n-1].err
			})
		})
	}
}
