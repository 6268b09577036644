// Command launchdarkly reads a hub with launchdarkly/eventsource.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/launchdarkly/eventsource"
)

func main() {
	stream, err := eventsource.SubscribeWithURL(os.Getenv("HUB")+"/sse?topic=show",
		eventsource.StreamOptionInitialRetry(time.Second),
		eventsource.StreamOptionUseJitter(0.5),
		eventsource.StreamOptionErrorHandler(func(error) eventsource.StreamErrorHandlerResult {
			return eventsource.StreamErrorHandlerResult{} // try again
		}))
	if err != nil {
		panic(err)
	}
	for event := range stream.Events {
		var data struct{ N int }
		if !strings.HasPrefix(event.Event(), "trivium.") && json.Unmarshal([]byte(event.Data()), &data) == nil {
			fmt.Println(data.N)
		}
	}
}
