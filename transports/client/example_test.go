//go:build !js

package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/longpoll"
	"github.com/trivium-hub/trivium/transports/publish"
	"github.com/trivium-hub/trivium/transports/sse"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// exampleHub starts a hub in this process and returns its URL. A real program connects to a hub
// that already runs.
func exampleHub() (url string, stop func()) {
	h, err := hub.New(hub.Config{})
	if err != nil {
		panic(err)
	}
	group := connection.NewRegistry(15*time.Second, 0)
	routes := http.NewServeMux()
	routes.Handle("/ws", tt.Must(websocket.New(websocket.Config{Hub: h, Registry: group, Counters: new(connection.Counters), WriteTimeout: time.Minute})))
	routes.Handle("/sse", tt.Must(sse.New(sse.Config{Hub: h, Registry: group, Counters: new(connection.Counters), WriteTimeout: time.Minute})))
	routes.Handle("/poll", tt.Must(longpoll.New(longpoll.Config{Hub: h, Registry: group, Counters: new(connection.Counters), WriteTimeout: time.Minute})))
	routes.HandleFunc("/publish", tt.Must(publish.New(publish.Config{Hub: h})).ServeEnvelopes)
	server := httptest.NewServer(tt.Authorized(tt.NewToken(everything), routes))
	return server.URL, func() {
		group.Close()
		server.CloseClientConnections()
		server.Close()
		_ = h.Close()
	}
}

func Example() {
	url, stop := exampleHub()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	c, err := client.Connect(ctx, client.Config{
		URL:    url,
		Token:  client.StaticToken("a-token-of-the-hub"),
		Topics: []string{"orders.>"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	for s := range c.States(ctx) {
		if s.Phase == client.Live { // the client misses no event from now on
			fmt.Println("live")
			break
		}
	}
	_, err = c.Publish(ctx,
		client.Event{Topic: "orders.berlin", Data: []byte(`{"amount":3}`)},
		client.Event{Topic: "orders.paris", Data: []byte("three"), Encoding: client.Text},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for e, err := range c.Events(ctx) {
		switch {
		case err != nil:
			fmt.Println("over:", err)
		case e.Gap != nil:
			fmt.Println("lost:", e.Gap.Reason)
		default:
			fmt.Printf("%s: %s\n", e.Topic, e.Data)
		}
		if c.Stats().Delivered == 2 {
			break
		}
	}
	// Output:
	// live
	// orders.berlin: {"amount":3}
	// orders.paris: three
}

// This example reads one event with each of three clients. Each client resumes at the cursor of the
// previous one, over another transport.
func ExampleClient_Cursor() {
	url, stop := exampleHub()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	saved := ""
	for _, transport := range []client.Transport{client.WebSocket, client.SSE, client.LongPoll} {
		c, err := client.Connect(ctx, client.Config{URL: url, Transport: transport, Cursor: saved})
		if err != nil {
			fmt.Println(err)
			return
		}
		for s := range c.States(ctx) {
			if s.Phase == client.Live {
				break
			}
		}
		one := client.Event{Topic: "a", Data: []byte("1")}
		if _, err := c.Publish(ctx, one, one); err != nil {
			fmt.Println(err)
		}
		for e := range c.Events(ctx) { // takes one event; the next client takes the next one
			_, number, _ := strings.Cut(e.ID, "-") // an ID is opaque; the example splits it only for its output
			fmt.Println(transport, "gave event", number)
			break
		}
		saved = c.Cursor()
		c.Close()
	}
	// Output:
	// WebSocket gave event 1
	// SSE gave event 2
	// long-poll gave event 3
}

// This example changes the topics while events arrive. The client renews the token before it
// expires.
func ExampleClient_SetTopics() {
	url, stop := exampleHub()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	c, err := client.Connect(ctx, client.Config{
		URL:    url,
		Topics: []string{"news"},
		Token: func(context.Context) (client.Token, error) {
			return client.Token{Value: "ask-your-own-server", Ends: time.Now().Add(time.Hour)}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if err := c.SetTopics(ctx, []string{"news", "weather.*"}); err != nil {
		fmt.Println(err)
	}
	if _, err := c.Publish(ctx, client.Event{Topic: "weather.rome", Data: []byte(`"sunny"`)}); err != nil {
		fmt.Println(err)
	}
	err = c.Handle(ctx, func(e client.Event) error {
		fmt.Println(e.Topic, string(e.Data))
		return fmt.Errorf("enough")
	})
	fmt.Println(err)
	// Output:
	// weather.rome "sunny"
	// enough
}
