//go:build !js

package clienttest

import (
	"bytes"
	"context"
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
		batch := min(n, 1000, 1+(1<<20)/(size+1)) // keeps each request within its limits
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

func (s *station) post(ctx context.Context, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.direct.Load().(string)+"/publish", strings.NewReader(body))
	if err != nil {
		return err
	}
	value, err := token(time.Hour, ">")
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+value)
	response, err := unshared.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("publishing was answered with %d: %s", response.StatusCode, text)
	}
	return nil
}

// flow repeats an action in a goroutine until it is stopped.
type flow struct {
	quit chan struct{} // nil: stopped
	done sync.WaitGroup
	err  error
}

func (f *flow) start(every time.Duration, do func() error) error {
	if f.quit != nil {
		return errors.New("it flows already")
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
