// Command r3labs-sse reads a hub with r3labs/sse.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/r3labs/sse/v2"
)

func main() {
	client := sse.NewClient(os.Getenv("HUB") + "/sse?topic=show")
	err := client.SubscribeRaw(func(message *sse.Event) {
		var data struct{ N int }
		if !strings.HasPrefix(string(message.Event), "trivium.") && json.Unmarshal(message.Data, &data) == nil {
			fmt.Println(data.N)
		}
	})
	fmt.Fprintln(os.Stderr, "ended:", err)
}
