// Command gobwas reads a hub with gobwas/ws.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
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
	conn, buffered, _, err := ws.Dial(context.Background(), address)
	if err != nil {
		return
	}
	defer conn.Close()
	// Bytes that arrived together with the answer to the handshake are in the buffer.
	source := io.Reader(conn)
	if buffered != nil {
		source = io.MultiReader(io.LimitReader(buffered, int64(buffered.Buffered())), conn)
	}
	socket := struct {
		io.Reader
		io.Writer
	}{bufio.NewReader(source), conn}
	for {
		text, err := wsutil.ReadServerText(socket)
		var m message
		if err != nil || json.Unmarshal(text, &m) != nil {
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
