// Command cloudevents sends and reads events with the official SDK of CloudEvents, for a test of
// the hub.
//
//	cloudevents send HUB TOKEN   publishes events in each mode, each twice
//	cloudevents parse            reads events in JSON, one a line
//
// Both commands print the events, one per line, in the order in which they were first sent or read,
// with all attributes that the SDK reports.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
)

func main() {
	log.SetFlags(0)
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "send":
		err = send(os.Args[2], os.Args[3])
	case len(os.Args) == 2 && os.Args[1] == "parse":
		err = parse(os.Stdin)
	default:
		log.Fatal("usage: cloudevents send HUB TOKEN | cloudevents parse")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// sample returns one event for each kind of data, with attributes of each type. The ids of the
// events begin with mode.
func sample(mode string) ([]cloudevents.Event, error) {
	var events []cloudevents.Event
	for i, data := range []struct {
		contentType string
		value       any
	}{
		{"", nil},
		{cloudevents.ApplicationJSON, json.RawMessage(`{"total":1.50,"id":12345678901234567890}`)},
		{"application/vnd.x+json", json.RawMessage(`[1,null]`)},
		{cloudevents.TextPlain, "caf\u00e9\n\"quoted\""},
		{cloudevents.ApplicationXML, []byte("<a>\u00e9</a>")},
		{"application/octet-stream", []byte{0, 1, 255}},
	} {
		e := cloudevents.NewEvent()
		e.SetID(fmt.Sprintf("%s %d \u00e9 100%% \"x\"", mode, i))
		e.SetSource("https://shop.example.com/carts?x=%20#1")
		e.SetType("com.example.paid")
		e.SetTime(time.Date(2026, 11, 28, 1, 2, 3, 4000, time.UTC))
		e.SetExtension("topic", "ce.sent")
		if data.contentType != "" {
			e.SetDataSchema("https://shop.example.com/schema")
			e.SetSubject("cart/1 2")
			e.SetExtension("partitionkey", "17")
			e.SetExtension("flag", true)
			e.SetExtension("number", int32(-5))
			e.SetExtension("text", "a\u00e9 b% \\")
			e.SetExtension("when", types.Timestamp{Time: time.Unix(1, 0).UTC()})
			e.SetExtension("bytes", []byte{0, 255})
			if err := e.SetData(data.contentType, data.value); err != nil {
				return nil, err
			}
		}
		if err := e.Validate(); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func send(hub, token string) error {
	client, err := cloudevents.NewClientHTTP(cloudevents.WithHeader("Authorization", "Bearer "+token))
	if err != nil {
		return err
	}
	ctx := cloudevents.ContextWithTarget(context.Background(), hub+"/publish")
	topic := cloudevents.ContextWithTarget(context.Background(), hub+"/publish/ce.path")
	for mode, ctx := range map[string]context.Context{
		"structured":          cloudevents.WithEncodingStructured(ctx),
		"binary":              cloudevents.WithEncodingBinary(ctx),
		"structured, to path": cloudevents.WithEncodingStructured(topic),
		"binary, to path":     cloudevents.WithEncodingBinary(topic),
	} {
		events, err := sample(mode)
		if err != nil {
			return err
		}
		for _, e := range events {
			for range 2 { // sends each event twice, as a retry would
				if result := client.Send(ctx, e); !cloudevents.IsACK(result) {
					return fmt.Errorf("%s: %w", mode, result)
				}
			}
			if err := show(e); err != nil {
				return err
			}
		}
	}
	for range 2 {
		if err := sendBatch(hub, token); err != nil {
			return fmt.Errorf("batch: %w", err)
		}
	}
	events, err := sample("batch")
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

func sendBatch(hub, token string) error {
	events, err := sample("batch")
	if err != nil {
		return err
	}
	r, err := cehttp.NewHTTPRequestFromEvents(context.Background(), hub+"/publish", events)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

func parse(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var e cloudevents.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("%w in %s", err, lines.Bytes())
		}
		if err := e.Validate(); err != nil {
			return fmt.Errorf("%w in %s", err, lines.Bytes())
		}
		if err := show(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

// show prints an event. It prints attributes in their canonical form, because binary mode does not
// preserve their types.
func show(e cloudevents.Event) error {
	attributes := map[string]string{
		"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(),
		"datacontenttype": e.DataContentType(), "dataschema": e.DataSchema(), "time": types.FormatTime(e.Time()),
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return err
		}
		attributes[name] = text
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"attributes": attributes, "data": e.Data()})
}
