//go:build js

package main

import (
	"syscall/js"
	"time"

	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

const (
	chartStill    = time.Second     // interval of drawings if the user prefers less motion
	describeEvery = 5 * time.Second // interval of the text descriptions
	scaleRoom     = 42              // CSS pixels left of the bars
)

// lines lists the labels of the horizontal lines, one for each power of ten.
var lines = []string{"1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"}

// chart draws the latency of a column on a logarithmic scale. For each quarter of a second, a bar
// shows the range from the shortest to the longest latency.
type chart struct {
	root, canvas, context js.Value
	label                 *attribute
	still                 js.Value // the media query for less motion
	dark                  js.Value // the media query for a dark theme

	bars              [board.ChartSlots]board.Bar
	scale             board.Scale
	drawn, described  time.Time
	width, height     float64 // CSS pixels
	ratio             float64
	wasDark           bool
	hue, muted, lines string
}

func newChart(root, canvas js.Value) *chart {
	return &chart{
		root: root, canvas: canvas, context: canvas.Call("getContext", "2d"),
		label: &attribute{node: canvas, name: "aria-label"},
		still: window.Call("matchMedia", "(prefers-reduced-motion: reduce)"),
		dark:  window.Call("matchMedia", "(prefers-color-scheme: dark)"),
	}
}

func (c *chart) draw(now time.Time, f *board.Figures, scale board.Scale) {
	if now.Sub(c.described) >= describeEvery {
		c.described = now
		c.label.set(describe(f))
	}
	resized := c.fit()
	if c.still.Get("matches").Bool() && now.Sub(c.drawn) < chartStill {
		return
	}
	if !resized && f.Chart == c.bars && scale == c.scale {
		return
	}
	c.drawn, c.bars, c.scale = now, f.Chart, scale
	c.paint()
}

func describe(f *board.Figures) string {
	if !f.Measured {
		return "Latency of the last half minute: no events."
	}
	return "Latency of the last half minute: median " + board.Span(f.Median) + ", 99 of 100 within " + board.Span(f.P99) + "."
}

// fit adjusts the canvas to the screen's resolution and the theme's colors. It reports whether
// anything has changed.
func (c *chart) fit() bool {
	width, height := c.canvas.Get("clientWidth").Float(), c.canvas.Get("clientHeight").Float()
	ratio := window.Get("devicePixelRatio").Float()
	dark := c.dark.Get("matches").Bool()
	if width == c.width && height == c.height && ratio == c.ratio && dark == c.wasDark {
		return false
	}
	c.width, c.height, c.ratio, c.wasDark = width, height, ratio, dark
	c.canvas.Set("width", int(width*ratio))
	c.canvas.Set("height", int(height*ratio))
	style := window.Call("getComputedStyle", c.root)
	colour := func(name string) string { return style.Call("getPropertyValue", name).String() }
	c.hue, c.muted, c.lines = colour("--hue"), colour("--muted"), colour("--line")
	return true
}

func (c *chart) paint() {
	x := c.context
	x.Call("setTransform", c.ratio, 0, 0, c.ratio, 0, 0)
	x.Call("clearRect", 0, 0, c.width, c.height)
	x.Set("font", "10px system-ui, sans-serif")
	x.Set("textAlign", "right")
	x.Set("textBaseline", "middle")
	const edge = 6 // room for half a line of text above and below
	y := func(d time.Duration) float64 {
		return c.height - edge - min(1, c.scale.Height(d))*(c.height-2*edge)
	}
	every := 1
	if c.scale > 3 { // there is no room for more labels
		every = 2
	}
	for decade := 0; decade <= int(c.scale); decade += every {
		at := c.height - edge - float64(decade)/float64(c.scale)*(c.height-2*edge)
		x.Set("fillStyle", c.lines)
		x.Call("fillRect", scaleRoom, at, c.width-scaleRoom, 1)
		x.Set("fillStyle", c.muted)
		x.Call("fillText", lines[decade], scaleRoom-5, at)
	}
	x.Set("fillStyle", c.hue)
	step := (c.width - scaleRoom) / board.ChartSlots
	for i, bar := range c.bars {
		if bar.Count == 0 {
			continue
		}
		top, bottom := y(bar.Max), y(bar.Min)
		x.Call("fillRect", scaleRoom+float64(i)*step, top-1, max(1, step-0.5), max(2, bottom-top+2))
	}
}
