package bench

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"strings"
)

// These are the dimensions of the picture in SVG user units.
const (
	svgWidth  = 900
	svgLabel  = 230 // space for the name of a row
	svgBar    = 14
	svgGap    = 12
	svgFigure = 90 // space for the figure after a bar
	svgTop    = 34 // space for the title of a chart
)

const (
	hubColor   = "#2563eb"
	floorColor = "#9ca3af"
)

// bar is one bar of a chart. It shows a time in µs.
type bar struct {
	what, color string
	us          float64
}

// row contains the bars of one result, and the name that the chart shows for them.
type row struct {
	name string
	bars []bar
}

// SVG writes a chart of CPU time and latency that compares the hub with the floor, which is the baseline.
func (r *Report) SVG(w io.Writer) error {
	var cpu, latency []row
	for _, result := range r.Results {
		if result.Hub == nil {
			continue
		}
		name := result.name()
		if result.Rate > 0 {
			name += fmt.Sprintf(", %d/s", result.Rate)
		}
		floor, against := cmp.Or(result.Floor, &Figures{}), cmp.Or(result.Against, "floor")
		cpu = append(cpu, bars(name, bar{"hub", hubColor, result.Hub.CPUPerDelivery}, bar{against, floorColor, floor.CPUPerDelivery}))
		latency = append(latency, bars(name,
			bar{"hub p50", hubColor, result.Hub.P50}, bar{against + " p50", floorColor, floor.P50},
			bar{"hub p99", hubColor, result.Hub.P99}, bar{against + " p99", floorColor, floor.P99}))
	}
	var b strings.Builder
	y := chart(&b, 0, "CPU time per delivery (ingest: per event), hub and baseline", cpu)
	y = chart(&b, y, "Latency, hub and baseline", latency)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, svgWidth, y+svgGap, b.String())
	return err
}

// bars returns a row of the given bars, without those that have no value (us is 0).
func bars(name string, all ...bar) row {
	r := row{name: name}
	for _, b := range all {
		if b.us > 0 {
			r.bars = append(r.bars, b)
		}
	}
	return r
}

// chart draws rows of bars with a common scale. The chart begins at the vertical position y; chart returns the position
// where it ends.
func chart(w *strings.Builder, y int, title string, rows []row) int {
	most := 0.0
	for _, r := range rows {
		for _, b := range r.bars {
			most = max(most, b.us)
		}
	}
	if most == 0 {
		return y
	}
	fmt.Fprintf(w, `<text x="8" y="%d" font-size="16" font-weight="bold">%s</text>`+"\n", y+svgTop-12, html.EscapeString(title))
	y += svgTop
	for _, r := range rows {
		if len(r.bars) == 0 {
			continue
		}
		fmt.Fprintf(w, `<text x="8" y="%d">%s</text>`+"\n", y+svgBar-3, html.EscapeString(r.name))
		for _, b := range r.bars {
			length := b.us / most * (svgWidth - svgLabel - svgFigure - 70)
			fmt.Fprintf(w, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, svgLabel, y, max(length, 1), svgBar-2, b.color)
			fmt.Fprintf(w, `<text x="%.1f" y="%d">%s %s</text>`+"\n", svgLabel+length+6, y+svgBar-3, b.what, micros(b.us))
			y += svgBar
		}
		y += svgGap
	}
	return y
}
