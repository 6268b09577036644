package board

import (
	"math"
	"strconv"
)

// items and symbols are the names in the page's orders and prices.
var (
	items   = []string{"espresso", "flat white", "green tea", "croissant", "cinnamon roll"}
	symbols = []string{"ACME", "GLOBEX", "INITECH", "UMBREL"}
)

// Sample is a readable sample event: an order or a price.
type Sample struct {
	Type, Key string
	Fields    string // members of a JSON object, without the braces
}

// NewSample returns the sample for number n of a series. Orders and prices alternate.
func NewSample(n uint64) Sample {
	const firstOrder = 1000
	turn := n / 2
	if n%2 == 1 {
		order := strconv.FormatUint(firstOrder+turn, 10)
		count := 1 + turn%3
		item := turn * 7 % uint64(len(items))
		cents := count * (260 + 35*item)
		return Sample{Type: "order", Key: order, Fields: `"order":` + order + `,"item":"` + strconv.FormatUint(count, 10) + " × " +
			items[item] + `","total":` + money(cents)}
	}
	which := turn % uint64(len(symbols))
	symbol := symbols[which]
	swing := 10 * math.Sin(float64(turn)/9+float64(which)) // a price changes little from one event to the next
	cents := uint64(math.Round((90 + 35*float64(which) + swing) * 100))
	return Sample{Type: "price", Key: symbol, Fields: `"symbol":"` + symbol + `","price":` + money(cents)}
}

// money formats an amount of cents with two decimals.
func money(cents uint64) string {
	text := strconv.FormatUint(cents/100, 10) + "."
	if cents%100 < 10 {
		text += "0"
	}
	return text + strconv.FormatUint(cents%100, 10)
}
