package hub

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// logRetry is the pause after a failed read of the log.
	logRetry = 250 * time.Millisecond
	// minPause is the shortest pause. Shorter pauses are added up until they reach it, because
	// timers are not precise enough for them.
	minPause = time.Millisecond
)

// AddWaitTime records that a read of a Log has waited for another process for the duration d. ctx is the
// context of the read. After a read, the hub pauses for as long as the read took, not counting the recorded
// time.
func AddWaitTime(ctx context.Context, d time.Duration) {
	if w, ok := ctx.Value(waitTimeKey{}).(*waitTime); ok {
		(*atomic.Int64)(w).Add(int64(d))
	}
}

// waitTime is the time that a read has waited, in nanoseconds.
type waitTime atomic.Int64

type waitTimeKey struct{}

func (w *waitTime) withContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, waitTimeKey{}, w)
}

func (w *waitTime) total() time.Duration { return time.Duration((*atomic.Int64)(w).Load()) }

// readPaced calls read until the context ends: after each signal of wakeup, and again while read returns true. After a
// call it pauses for as long as the call took, but at most maxPause, so that reads of the log leave half of the
// processor time to live subscribers. Time spent waiting for a server in another process is not counted, see
// AddWaitTime.
func readPaced(ctx context.Context, wakeup <-chan struct{}, maxPause time.Duration, read func(context.Context) (more bool, err error)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var owed time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-wakeup:
		}
		for more := true; more && ctx.Err() == nil; {
			begin := time.Now()
			var waited waitTime
			var err error
			if more, err = read(waited.withContext(ctx)); err != nil {
				owed = logRetry
			} else {
				owed += min(max(time.Since(begin)-waited.total(), 0), maxPause) // overlapping waits may add up to more than the read
			}
			if owed < minPause {
				continue
			}
			timer.Reset(owed)
			owed = 0
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
	}
}
