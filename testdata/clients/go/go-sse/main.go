// Command go-sse reads a hub with tmaxmax/go-sse.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tmaxmax/go-sse"
)

// temporary is an answer after which to try again.
type temporary struct{ error }

func (temporary) Temporary() bool { return true }

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Getenv("HUB")+"/sse?topic=show", nil)
	if err != nil {
		panic(err)
	}
	client := sse.Client{
		Backoff: sse.Backoff{MaxInterval: 4 * time.Second},
		ResponseValidator: func(response *http.Response) error {
			if response.StatusCode >= 500 {
				return temporary{errors.New(response.Status)}
			}
			return sse.DefaultValidator(response)
		},
	}
	connection := client.NewConnection(request)
	connection.SubscribeToAll(func(event sse.Event) {
		var data struct{ N int }
		if !strings.HasPrefix(event.Type, "trivium.") && json.Unmarshal([]byte(event.Data), &data) == nil {
			fmt.Println(data.N)
		}
	})
	fmt.Fprintln(os.Stderr, "ended:", connection.Connect())
}
