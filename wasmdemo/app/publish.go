//go:build js

package main

import (
	"context"
	"errors"
	"syscall/js"
	"time"

	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

const publishTimeout = 15 * time.Second // timeout of the hub's answer

// publishForm publishes an event that the user wrote.
type publishForm struct {
	page        *page
	fields      map[string]*field
	kindText    js.Value
	button      *flag
	answer      *property
	answerClass *attribute
	key         string // idempotency key of the event in the form; "" once the result is known
	sending     bool
}

// field is an input element with its error text.
type field struct {
	input   js.Value
	fault   *property
	invalid *attribute
}

func newField(id, fault string) *field {
	input := byID(id)
	return &field{input: input, fault: textOf(byID(fault)), invalid: &attribute{node: input, name: "aria-invalid"}}
}

func (f *field) value() string { return f.input.Get("value").String() }

func (f *field) show(fault string) {
	f.fault.set(fault)
	if fault == "" {
		f.invalid.set("false")
	} else {
		f.invalid.set("true")
	}
}

func newPublishForm(p *page) *publishForm {
	answer := byID("publish-answer")
	f := &publishForm{
		page: p, fields: map[string]*field{}, kindText: byID("kind-text"),
		button: &flag{node: byID("publish-go"), name: "disabled"},
		answer: textOf(answer), answerClass: &attribute{node: answer, name: "class"},
	}
	for _, name := range []string{"topic", "type", "key", "data"} {
		f.fields[name] = newField(name, name+"-fault")
	}
	p.queue.on(byID("publish"), "input", func() { f.key = ""; f.check() })
	p.queue.on(byID("publish"), "submit", f.submit)
	return f
}

func (f *publishForm) form() board.Form {
	return board.Form{
		Topic: f.fields["topic"].value(), Type: f.fields["type"].value(), Key: f.fields["key"].value(),
		Data: f.fields["data"].value(), Text: f.kindText.Get("checked").Bool(),
	}
}

// check shows the error of the first invalid field, and returns the name of the field, or "".
func (f *publishForm) check() (at string) {
	_, at, fault := f.form().Event()
	for name, field := range f.fields {
		if name == at {
			field.show(fault)
		} else {
			field.show("")
		}
	}
	return at
}

func (f *publishForm) submit() {
	if f.sending {
		return
	}
	if at := f.check(); at != "" {
		f.fields[at].input.Call("focus")
		return
	}
	event, _, _ := f.form().Event()
	if f.key == "" {
		f.key = board.Unique()
	}
	key := f.key
	f.sending = true
	f.show("answer", "Publishing…")
	f.page.running.Go(func() {
		ctx, cancel := context.WithTimeout(f.page.ctx, publishTimeout)
		defer cancel()
		id, err := f.page.hub.Publish(ctx, key, event)
		f.page.queue <- func() { f.done(id, err) }
	})
}

func (f *publishForm) done(id string, err error) {
	f.sending = false
	problem, refused := errors.AsType[*client.Problem](err)
	switch {
	case err == nil:
		f.key = ""
		f.show("answer good", "Published as "+id)
	case refused:
		f.key = ""
		f.show("answer bad", "Refused: "+board.ProblemText(problem))
		if field := f.fields[problem.Parameter]; field != nil {
			field.show(problem.Detail)
		}
		if problem.Status == 401 {
			f.page.askForToken("Publishing was refused: " + board.ProblemText(problem) + ".")
		}
	default: // the hub recognizes a retry by the key
		f.show("answer bad", "It is unknown whether the event was published: "+board.Reason(err)+". Publishing again is safe, because the hub recognizes the repetition.")
	}
}

func (f *publishForm) show(class, text string) {
	f.answerClass.set(class)
	f.answer.set(text)
	f.button.set(f.sending)
}
