package transporttest

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// sseClient reads a stream of server-sent events.
type sseClient struct {
	carrier     carrier
	envelope    bool
	cloudEvents bool
	decoder     *wire.SSEDecoder
	body        io.Closer
}

func (c *sseClient) Connect(ask Request) error {
	ask.Query = maps.Clone(ask.Query)
	if ask.Query == nil {
		ask.Query = url.Values{}
	}
	if c.envelope {
		ask.Query.Set("envelope", "1")
	}
	if c.cloudEvents {
		ask = asCloudEvents(ask)
	}
	response, err := c.carrier.get("/sse", ask)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response)
	}
	c.body, c.decoder = response.Body, wire.NewSSEDecoder(response.Body, 0)
	return nil
}

func (c *sseClient) Next() (Item, error) {
	c.carrier.extendDeadline()
	e, err := c.decoder.Next()
	if err != nil {
		return Item{}, err
	}
	item := Item{ID: e.ID}
	switch e.Type {
	case "trivium.open":
		item.Kind = Open
	case "trivium.heartbeat":
		item.Kind = Heartbeat
	case "trivium.gap":
		item.Kind = Gap
		item.Gap, err = wire.DecodeGap([]byte(e.Data))
	case "trivium.error":
		item.Kind, item.Problem = Error, new(problems.Problem)
		err = item.Problem.UnmarshalJSON([]byte(e.Data))
	case "trivium.goaway":
		item.Kind = Goaway
		item.Retry, _ = c.decoder.Retry()
	default:
		return c.event(e)
	}
	return item, err
}

func (c *sseClient) event(e wire.SSEEvent) (Item, error) {
	decode := wire.DecodeEnvelope
	switch {
	case c.cloudEvents:
		decode = decodeCloudEvent
	case !c.envelope:
		return Item{Kind: Event, ID: e.ID, Topic: e.Topic, Type: e.Type, Data: e.Data}, nil
	}
	event, err := decode([]byte(e.Data))
	if err != nil {
		return Item{}, err
	}
	if event.ID.String() != e.ID || e.Type != "" || e.Topic != "" {
		return Item{}, fmt.Errorf("received an SSE event with both an envelope and other fields: %+v", e)
	}
	return eventItem(event), nil
}

func (c *sseClient) Cut() {
	c.carrier.cut()
	if c.body != nil {
		c.body.Close()
	}
}

// lineEnds replaces line ends by \n, as the SSE standard does.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func (c *sseClient) ExpectedData(e *hub.Event) string {
	switch {
	case e.Encoding == hub.JSON:
		return lineEnds.Replace(string(e.Data))
	case c.envelope || c.cloudEvents:
		return string(e.Data)
	case e.Encoding == hub.Binary:
		return base64.StdEncoding.EncodeToString(e.Data)
	default:
		return lineEnds.Replace(string(e.Data))
	}
}

// pollClient sends one poll after the other. The first poll has wait=0 by default. If its answer has no
// events, pollClient returns it as an Open item.
type pollClient struct {
	carrier     carrier
	cloudEvents bool
	ask         Request
	items       []Item
	draining    bool // whether the last answer had the header Retry-After
}

func (c *pollClient) Connect(ask Request) error {
	ask.Query = maps.Clone(ask.Query)
	if ask.Query == nil {
		ask.Query = url.Values{}
	}
	if !ask.Query.Has("wait") {
		ask.Query.Set("wait", "0")
	}
	if c.cloudEvents {
		ask = asCloudEvents(ask)
	}
	c.ask = ask
	if err := c.poll(Open); err != nil {
		return err
	}
	c.ask.Query.Set("wait", "1s")
	return nil
}

// poll sends one poll. It appends the gap and the events of the answer to items, and then an item with
// the position of the answer. If the answer has neither a gap nor events, the kind of that item is the
// parameter empty. Otherwise it is Heartbeat.
func (c *pollClient) poll(empty Kind) error {
	response, err := c.carrier.get("/poll", c.ask)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return err
	}
	decode := wire.DecodePollAnswer
	if c.cloudEvents {
		decode = decodeCloudEventAnswer
	}
	answer, err := decode(body)
	if err != nil {
		return err
	}
	c.draining = response.Header.Get("Retry-After") != ""
	if answer.Gap != nil {
		c.items = append(c.items, Item{Kind: Gap, ID: answer.Gap.ResumedAt.String(), Gap: answer.Gap})
	}
	for _, e := range answer.Events {
		c.items = append(c.items, eventItem(e))
	}
	if len(c.items) > 0 {
		empty = Heartbeat
	}
	c.items = append(c.items, Item{Kind: empty, ID: answer.Cursor})
	for _, name := range []string{"cursor", "last", "since"} {
		c.ask.Query.Del(name)
	}
	c.ask.LastEventID = answer.Cursor
	return nil
}

func (c *pollClient) Next() (Item, error) {
	if len(c.items) == 0 {
		if c.draining {
			return Item{}, io.EOF
		}
		if err := c.poll(Heartbeat); err != nil {
			return Item{}, err
		}
	}
	item := c.items[0]
	c.items = c.items[1:]
	return item, nil
}

func (c *pollClient) Cut() { c.carrier.cut() }

func (c *pollClient) ExpectedData(e *hub.Event) string { return envelopeData(e) }
