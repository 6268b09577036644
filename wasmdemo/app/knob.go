//go:build js

package main

import (
	"math"
	"strconv"
	"syscall/js"
	"time"

	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

// knobScale is the number of slider steps per factor of ten.
const knobScale = 20

// loadKnob holds the controls of the load, which publishes sample events: its rate, its topic and
// its switch.
type loadKnob struct {
	page                   *page
	slider                 js.Value
	rate, topic            *field
	label, status, trouble *property
}

func newLoadKnob(p *page) *loadKnob {
	button := byID("load-go")
	k := &loadKnob{
		page: p, slider: byID("load-range"),
		rate: newField("load-rate", "load-rate-fault"), topic: newField("load-topic", "load-fault"),
		label:  textOf(button),
		status: textOf(byID("load-status")), trouble: textOf(byID("load-trouble")),
	}
	p.queue.on(k.slider, "input", func() {
		step, _ := strconv.ParseFloat(k.slider.Get("value").String(), 64)
		k.rate.input.Set("value", strconv.Itoa(int(math.Round(math.Pow(10, step/knobScale)))))
		k.changed()
	})
	p.queue.on(k.rate.input, "input", func() {
		if rate, ok := k.wanted(); ok {
			k.slider.Set("value", strconv.Itoa(int(math.Round(math.Log10(rate)*knobScale))))
		}
		k.changed()
	})
	p.queue.on(k.topic.input, "input", func() { k.changed() })
	p.queue.on(button, "click", func() {
		if k.changed() {
			p.load.Set(func(w *board.LoadWant) { w.On = !w.On })
		}
	})
	return k
}

// wanted returns the rate in the field, and reports whether it is valid.
func (k *loadKnob) wanted() (float64, bool) {
	rate, err := strconv.ParseFloat(k.rate.value(), 64)
	return rate, err == nil && rate >= 1 && rate <= board.MaxRate
}

// changed applies the values of the fields to the load. It returns false if a value is invalid.
func (k *loadKnob) changed() bool {
	rate, ok := k.wanted()
	rateFault := ""
	if !ok {
		rateFault = "events per second: must be a number from 1 to 1000"
	}
	_, _, topicFault := board.Form{Topic: k.topic.value(), Data: "0"}.Event()
	k.rate.show(rateFault)
	k.topic.show(topicFault)
	if !ok || topicFault != "" {
		return false
	}
	k.page.load.Set(func(w *board.LoadWant) { w.Rate, w.Topic = rate, k.topic.value() })
	return true
}

// start switches the load on.
func (k *loadKnob) start() {
	if k.changed() {
		k.page.load.Set(func(w *board.LoadWant) { w.On = true })
	}
}

// publishOne publishes one event to the topic in the field.
func (k *loadKnob) publishOne() {
	if k.changed() {
		k.page.load.PublishOne()
	}
}

func (k *loadKnob) draw(now time.Time) {
	s := k.page.load.Status(now)
	if s.On {
		k.label.set("Stop publishing")
	} else {
		k.label.set("Start publishing")
	}
	k.status.set(s.Text())
	trouble := ""
	switch {
	case s.Forbidden:
		trouble = "The hub refuses to publish: " + s.Trouble + ". The page still shows events from other publishers."
	case s.Trouble != "":
		trouble = "Not accepted: " + s.Trouble + "."
	}
	k.trouble.set(trouble)
}
