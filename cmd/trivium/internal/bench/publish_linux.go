package bench

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// runPublish is the child: it publishes one event at a time, with nobody there to read, for about
// as long as said.
func runPublish(stderr io.Writer, size int, d time.Duration) error {
	h, err := hub.New(hub.Config{})
	if err != nil {
		return err
	}
	defer h.Close()
	topics := make([]string, 1000)
	for i := range topics {
		topics[i] = topicOf(uint32(i + 1))
	}
	data := make([]byte, size)
	stamp{}.put(data)
	run := func(d time.Duration) (n int64, err error) {
		for end := time.Now().Add(d); time.Now().Before(end); {
			for range 1000 {
				if _, err := h.Publish(context.Background(), &hub.Event{Topic: topics[n%1000], Data: data}); err != nil {
					return 0, err
				}
				n++
			}
		}
		return n, nil
	}
	if _, err := run(d / 4); err != nil { // until the window is full
		return err
	}
	before, err := cpuOf(os.Getpid())
	if err != nil {
		return err
	}
	start := time.Now()
	n, err := run(d)
	if err != nil {
		return err
	}
	after, err := cpuOf(os.Getpid())
	if err != nil {
		return err
	}
	return json.NewEncoder(stderr).Encode(address{Message: listening, Events: n, CPU: after - before, Wall: time.Since(start)})
}
