// Command gorilla reads a hub with gorilla/websocket.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

type message struct {
	ID, Op string
	Data   struct{ N int }
}

func main() {
	cursor := ""
	for {
		read(&cursor)
		time.Sleep(500*time.Millisecond + rand.N(1500*time.Millisecond))
	}
}

// read opens one connection and reads it to its end.
func read(cursor *string) {
	address := strings.Replace(os.Getenv("HUB"), "http", "ws", 1) + "/ws?topic=show&cursor=" + *cursor
	socket, _, err := websocket.DefaultDialer.Dial(address, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	for {
		var m message
		if socket.ReadJSON(&m) != nil {
			return
		}
		if m.ID != "" {
			*cursor = m.ID
		}
		if m.Op == "" {
			fmt.Println(m.Data.N)
		}
	}
}
