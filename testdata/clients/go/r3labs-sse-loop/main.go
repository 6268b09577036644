// Command r3labs-sse-loop reads a hub with r3labs/sse. It subscribes again whenever a stream has
// ended.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	client := sse.NewClient(os.Getenv("HUB") + "/sse?topic=show")
	read := func(message *sse.Event) {
		var data struct{ N int }
		if !strings.HasPrefix(string(message.Event), "trivium.") && json.Unmarshal(message.Data, &data) == nil {
			fmt.Println(data.N)
		}
	}
	for {
		_ = client.SubscribeRaw(read) // the client keeps the last id
		time.Sleep(500*time.Millisecond + rand.N(1500*time.Millisecond))
	}
}
