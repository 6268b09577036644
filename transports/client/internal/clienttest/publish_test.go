//go:build !js

package clienttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// publish publishes n events, numbered per topic from 1, and returns the number of the last one.
func (s *station) publish(ctx context.Context, topic string, n, size int) (last any, err error) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	for n > 0 {
		batch := min(n, 1000, 1+(1<<20)/(size+1)) // at most 1000 events and about 1 MiB per request, as the hub allows
		var body bytes.Buffer
		for range batch {
			s.counts[topic]++
			if body.Len() > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `{"topic":%q,"data":{"n":%d,"pad":%q}}`, topic, s.counts[topic], strings.Repeat("x", size))
		}
		n -= batch
		if err := s.post(ctx, "["+body.String()+"]"); err != nil {
			return nil, err
		}
	}
	return map[string]int{"last": s.counts[topic]}, nil
}

// post publishes a batch. It repeats the request while the storage is unavailable, which may happen
// on a busy machine. The idempotency key prevents the batch from being published twice.
func (s *station) post(ctx context.Context, body string) error {
	token, err := token(time.Hour, ">")
	if err != nil {
		return err
	}
	header := http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}, "Idempotency-Key": {rand.Text()},
	}
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		status, text, err := s.postOnce(ctx, header, body)
		if err != nil || status == http.StatusOK {
			return err
		}
		// With the status 409, the hub reports that it has not finished the previous attempt.
		if status != http.StatusServiceUnavailable && status != http.StatusConflict || time.Since(begin) > patience {
			return fmt.Errorf("publishing failed with status %d: %s", status, text)
		}
	}
}

func (s *station) postOnce(ctx context.Context, header http.Header, body string) (status int, text []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.direct.Load().(string)+"/publish", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header = header
	response, err := s.publisher.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

// flow repeats an action in a goroutine until it is stopped.
type flow struct {
	quit chan struct{} // nil: stopped
	done sync.WaitGroup
	err  error
}

func (f *flow) start(every time.Duration, do func() error) error {
	if f.quit != nil {
		return errors.New("the flow is already running")
	}
	quit := make(chan struct{})
	f.quit, f.err = quit, nil
	f.done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for f.err == nil {
			select {
			case <-ticker.C:
				f.err = do()
			case <-quit:
				return
			}
		}
	})
	return nil
}

func (f *flow) stop() error {
	if f.quit == nil {
		return nil
	}
	close(f.quit)
	f.done.Wait()
	f.quit = nil
	return f.err
}
