// Command go-sse reads a hub with tmaxmax/go-sse.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tmaxmax/go-sse"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Getenv("HUB")+"/sse?topic=show", nil)
	if err != nil {
		panic(err)
	}
	client := sse.Client{Backoff: sse.Backoff{MaxInterval: 4 * time.Second}}
	connection := client.NewConnection(request)
	connection.SubscribeToAll(func(event sse.Event) {
		var data struct{ N int }
		if !strings.HasPrefix(event.Type, "trivium.") && json.Unmarshal([]byte(event.Data), &data) == nil {
			fmt.Println(data.N)
		}
	})
	for {
		_ = connection.Connect() // returns after an answer other than 200; the connection keeps the last id
		time.Sleep(500*time.Millisecond + rand.N(1500*time.Millisecond))
	}
}
