package hub_test

import (
	"context"
	"fmt"

	"github.com/trivium-hub/trivium/hub"
)

// This example subscribes from an earlier position. Hub.Events is shorter, but starts with the next
// event.
func Example() {
	h, err := hub.New(hub.Config{})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	if _, err = h.Publish(context.Background(), &hub.Event{Topic: "orders.eu", Data: []byte(`{"total":1.50}`)}); err != nil {
		panic(err)
	}
	orders, err := hub.ParseFilter("orders.>")
	if err != nil {
		panic(err)
	}
	wakeup := hub.NewWakeup()
	s, err := h.Subscribe(hub.Request{Filters: hub.NewFilterSet(orders), Start: hub.Start{Last: 1}}, wakeup)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	for {
		read := s.Read(hub.ReadLimit{Events: 10, Bytes: 1 << 20})
		if len(read.Events) > 0 {
			fmt.Println(read.Events[0].Topic, string(read.Events[0].Data))
			return
		}
		if !read.More {
			<-wakeup
		}
	}
	// Output: orders.eu {"total":1.50}
}
