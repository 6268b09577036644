//go:build js

package main

import (
	"errors"
	"strconv"
	"syscall/js"
	"time"

	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

// A browser allows six connections per host. maxHeld is the maximum number of them that the columns
// of one tab may use, so that two tabs leave two connections for publishing.
const maxHeld = 2

// transports lists the transports of the select element, in the order of its options.
var transports = []struct {
	value string
	use   client.Transport
}{
	{"websocket", client.WebSocket},
	{"sse", client.SSE},
	{"eventsource", client.EventSource},
	{"longpoll", client.LongPoll},
}

// column is one of the page's columns.
type column struct {
	page  *page
	index int
	conn  *board.Connection
	use   client.Transport
	asked bool // whether the page has asked the user for a token since the client ended

	choice                                js.Value
	mode                                  *attribute
	measure                               *property
	state, count, rate, median, p99, last *property
	toggle, stall                         *property
	root, more                            *attribute
	cutOff, stallOff                      *flag
	options                               []*flag
	rows                                  *rows
	chart                                 *chart
}

func newColumn(p *page, index int, conn *board.Connection) *column {
	root := byID("road").Get("content").Get("firstElementChild").Call("cloneNode", true)
	part := func(name string) js.Value { return root.Call("querySelector", `[data-part="`+name+`"]`) }
	byID("roads").Call("append", root)
	c := &column{
		page: p, index: index, conn: conn, use: conn.Status(time.Now()).Use,
		choice: part("use"), mode: &attribute{node: root, name: "data-mode"},
		state: textOf(part("state")), count: textOf(part("count")), rate: textOf(part("rate")),
		median: textOf(part("median")), measure: textOf(part("measure")), p99: textOf(part("p99")), last: textOf(part("last")),
		toggle: textOf(part("toggle")), stall: textOf(part("stall")),
		cutOff: &flag{node: part("cut"), name: "disabled"}, stallOff: &flag{node: part("stall"), name: "disabled"},
		rows: &rows{list: part("events")}, chart: newChart(root, part("chart")),
	}
	textOf(part("number")).set(board.ColumnNumber(index))
	name := "column " + board.ColumnNumber(index)
	root.Call("setAttribute", "aria-label", "Column "+board.ColumnNumber(index))
	c.choice.Call("setAttribute", "aria-label", "Transport of "+name)
	part("events").Call("setAttribute", "aria-label", "Newest events of "+name)
	heading := root.Call("querySelector", "h2")
	heading.Set("id", "column-"+board.ColumnNumber(index))
	for _, button := range []string{"toggle", "cut", "stall"} {
		part(button).Call("setAttribute", "aria-describedby", heading.Get("id"))
	}
	for i, t := range transports {
		c.options = append(c.options, &flag{node: c.choice.Get("options").Index(i), name: "disabled"})
		if t.use == c.use {
			c.choice.Set("value", t.value)
		}
	}
	p.queue.on(c.choice, "change", c.chosen)
	p.queue.on(part("toggle"), "click", c.toggled)
	p.queue.on(part("cut"), "click", conn.Cut)
	p.queue.on(part("stall"), "click", c.stalled)
	c.root, c.more = &attribute{node: root, name: "data-open"}, &attribute{node: part("more"), name: "aria-expanded"}
	part("more").Call("setAttribute", "aria-label", "Details of "+name)
	p.queue.on(part("more"), "click", func() { c.open(c.root.shown != "true") })
	return c
}

// open shows or hides the column's details. Only a narrow page hides them.
func (c *column) open(open bool) {
	value := strconv.FormatBool(open)
	c.root.set(value)
	c.more.set(value)
}

// chosen changes the transport to the selected one; the connection resumes at its cursor.
func (c *column) chosen() {
	value := c.choice.Get("value").String()
	for _, t := range transports {
		if t.value == value {
			c.use = t.use
			c.conn.Use(t.use)
		}
	}
}

func (c *column) toggled() {
	switch {
	case c.conn.Status(time.Now()).On:
		c.conn.Disconnect()
	case !c.page.started:
		c.page.startOver()
	default:
		c.conn.Connect()
	}
}

func (c *column) stalled() {
	if c.conn.Status(time.Now()).Stalled {
		c.conn.Resume()
	} else {
		c.conn.Stall()
	}
}

// askForToken asks the user for a token if the hub has ended the connection because of its token.
// It asks once per client.
func (c *column) askForToken(end error) {
	if final, ok := errors.AsType[*client.FinalError](end); ok && (final.Status == 401 || final.Status == 403) && !c.asked {
		c.page.askForToken("Column " + board.ColumnNumber(c.index) + " was ended by the hub: " + board.Reason(end) + ".")
	}
	c.asked = end != nil
}

// draw shows what has changed since the last drawing. held is the number of columns whose transport
// uses one of the browser's six connections per host.
func (c *column) draw(now time.Time, status board.ConnectionStatus, got uint64, f *board.Figures, scale board.Scale, held int) {
	c.mode.set(string(status.Mode))
	c.state.set(status.Text)
	switch {
	case status.On:
		c.toggle.set("Disconnect")
	case status.Begun:
		c.toggle.set("Resume")
	default:
		c.toggle.set("Connect")
	}
	if status.Stalled {
		c.stall.set("Resume")
	} else {
		c.stall.set("Stall")
	}
	c.cutOff.set(!status.On)
	c.stallOff.set(!status.On)
	for i, t := range transports {
		c.options[i].set(board.Held(t.use) && !board.Held(c.use) && held >= maxHeld)
	}

	c.count.set(board.Count(got))
	c.rate.set(board.PerSecond(f.Rate))
	c.measure.set(f.Clock)
	if f.Measured {
		c.median.set(board.Span(f.Median))
		c.p99.set(board.Span(f.P99))
	} else {
		c.median.set("–")
		c.p99.set("–")
	}
	if f.Last != "" {
		c.last.set(f.Last)
	} else {
		c.last.set("–")
	}
	c.rows.draw(now, c.page.board, c.index, f.Rows)
	c.chart.draw(now, f, scale)
}

// If more than manyRows rows arrive between two drawings, a user cannot read them, so the list is
// drawn only once per listEvery.
const (
	manyRows  = 10
	listEvery = 500 * time.Millisecond
)

// rows is the list of the newest events. Its nodes are reused.
type rows struct {
	list  js.Value
	items []*row // newest first
	shown uint64 // number of rows shown so far
	drawn time.Time
}

type row struct {
	item                   js.Value
	class                  *property
	time, topic, tag, data *property
}

func newRow() *row {
	make := func(element, class string, in js.Value) js.Value {
		node := document.Call("createElement", element)
		node.Set("className", class)
		if !in.IsUndefined() {
			in.Call("append", node)
		}
		return node
	}
	item := make("li", "", js.Undefined())
	head := make("div", "head", item)
	return &row{
		item: item, class: &property{node: item, name: "className"},
		time: textOf(make("span", "time", head)), topic: textOf(make("span", "topic", head)),
		tag: textOf(make("span", "tag", head)), data: textOf(make("div", "data", item)),
	}
}

func (r *rows) draw(now time.Time, b *board.Board, column int, total uint64) {
	if total < r.shown { // the comparison was started over
		r.shown, r.items = 0, nil
		r.list.Call("replaceChildren")
	}
	if total == r.shown || total > r.shown+manyRows && now.Sub(r.drawn) < listEvery {
		return
	}
	r.drawn = now
	for _, shown := range b.RowsAfter(column, r.shown) {
		var next *row
		if len(r.items) < board.MaxRows {
			next = newRow()
			r.items = append(r.items, nil)
		} else {
			next = r.items[len(r.items)-1]
		}
		copy(r.items[1:], r.items)
		r.items[0] = next
		next.draw(shown)
		r.list.Call("prepend", next.item)
		r.shown = shown.N
	}
}

func (r *row) draw(shown board.Row) {
	if shown.Gap != "" {
		r.class.set("gap")
		r.time.set("")
		r.topic.set("gap")
		r.tag.set("")
		r.data.set(shown.Gap)
		return
	}
	tag := shown.Type
	if shown.Key != "" {
		tag += " key " + shown.Key
	}
	r.class.set("")
	r.time.set(board.Moment(shown.Time.Local()))
	r.topic.set(shown.Topic)
	r.tag.set(tag)
	r.data.set(shown.Data)
}
