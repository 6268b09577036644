package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/wire"
)

// SubCmd prints events as they come.
type SubCmd struct {
	URL        string   `name:"url" default:"http://127.0.0.1:3000" env:"TRIVIUM_URL" help:"The hub's URL, http or https."`
	Token      string   `env:"TRIVIUM_TOKEN" help:"Token that may subscribe. The variable is safer: others can see a command line."`
	Transport  string   `default:"auto" help:"How to read: websocket, sse, longpoll, or auto, which is the first of them that works."`
	Last       int      `placeholder:"N" help:"Begin with the newest N events that the hub has, 1000 at most."`
	Since      string   `placeholder:"WHEN" help:"Begin with the first event that is not older than a duration such as 10m, or than an RFC 3339 time."`
	Cursor     string   `placeholder:"ID" help:"Begin after the event with this id."`
	Conflate   bool     `help:"When this reader is too slow, get of several waiting events with one topic and key only the newest."`
	JSON       bool     `name:"json" help:"Print envelopes, one a line, and gaps as lines of their own, {\"gap\":{…}}."`
	Count      int      `placeholder:"N" help:"End after N events."`
	SaveCursor string   `placeholder:"FILE" help:"Keep in this file after which event to go on, and go on there the next time."`
	Topics     []string `arg:"" optional:"" help:"Topics or filters such as 'orders.>' to read; none is all that the token may read."`

	ago   time.Duration // of Since, once checked, if it is one; 0: it is not
	at    time.Time     // of Since, if it is a time
	saved *cursorFile   // of SaveCursor, once checked; nil: there is none
}

// Help is what the flags leave open.
func (SubCmd) Help() string {
	return "On a terminal an event is a readable line, with a status line below. Elsewhere it is its data, one line an " +
		"event: JSON on one line, text as it is, or as a JSON string if it has line breaks in it, binary data in base64. " +
		"Events that were lost are told on standard error. " +
		"It goes on through lost connections until --count, SIGINT or SIGTERM ends it, the reader of its output goes away " +
		"(exit code 0 for these) or the hub refuses it (1).\n\n" +
		"--cursor, --last and --since say where to begin as long as there is nothing in the file of --save-cursor: so one " +
		"command line serves the first run and all others. The file is written after what was printed, at most four times a " +
		"second, and at the end: what is killed in between prints the last events again, and loses none."
}

// transportNames are the values of --transport.
var transportNames = map[string]client.Transport{
	"auto": client.Auto, "websocket": client.WebSocket, "sse": client.SSE, "longpoll": client.LongPoll,
}

func transportName(t client.Transport) string {
	for name, named := range transportNames {
		if named == t {
			return name
		}
	}
	return ""
}

// checkCursor takes what a hub may have given (docs/protocol.md#cursors). Whether it is one is for the hub
// to say.
func checkCursor(s string) string {
	odd := func(c byte) bool {
		return c != '.' && c != '_' && c != '~' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}
	if s == "" || len(s) > 64 || slices.ContainsFunc([]byte(s), odd) {
		return fmt.Sprintf("want an event's id such as 1f0c9a3e-42, got %q", s[:min(len(s), 100)])
	}
	return ""
}

func (c *SubCmd) check() []fault {
	trimmed(&c.URL, &c.Token)
	faults := checkHubURL(c.URL)
	faults = append(faults, faulty("transport", oneOf(c.Transport, slices.Sorted(maps.Keys(transportNames))...))...)
	faults = append(faults, faulty("last", between(c.Last, 0, hub.MaxLast))...)
	faults = append(faults, faulty("since", c.parseSince())...)
	if c.Cursor != "" {
		faults = append(faults, faulty("cursor", checkCursor(c.Cursor))...)
	}
	begins := 0
	for _, said := range []bool{c.Cursor != "", c.Last != 0, c.Since != ""} {
		if said {
			begins++
		}
	}
	if begins > 1 {
		faults = append(faults, fault{"--cursor", fmt.Sprintf("want one of --cursor, --last and --since, got %d", begins)})
	}
	faults = append(faults, faulty("count", between(c.Count, 0, maxCount))...)
	for _, topic := range c.Topics {
		var invalid *hub.InvalidError
		if _, err := hub.ParseFilter(topic); errors.As(err, &invalid) {
			faults = append(faults, fault{"<topics>", fmt.Sprintf("%s, got %q", invalid.Detail, topic)})
		}
	}
	if c.SaveCursor != "" && len(faults) == 0 {
		var err error
		c.saved, err = openCursorFile(c.SaveCursor)
		faults = append(faults, faulty("save-cursor", said(err))...)
	}
	return faults
}

// parseSince tells a duration from a time, and says what is wrong with either.
func (c *SubCmd) parseSince() string {
	if c.Since == "" {
		return ""
	}
	var err error
	if c.ago, err = time.ParseDuration(c.Since); err == nil {
		return between(c.ago, time.Nanosecond, maxRetainAge)
	}
	if c.at.UnmarshalText([]byte(c.Since)) != nil || c.at.IsZero() {
		return fmt.Sprintf("want a duration such as 10m or a time such as 2026-01-31T00:00:00Z, got %q", c.Since)
	}
	return ""
}

// begin gives what the client is to do.
func (c *SubCmd) begin() client.Config {
	cfg := client.Config{URL: c.URL, Transport: transportNames[c.Transport], Topics: c.Topics, Conflate: c.Conflate}
	if c.Token != "" {
		cfg.Token = client.StaticToken(c.Token)
	}
	if cfg.Cursor = c.saved.cursor(); cfg.Cursor == "" {
		cfg.Cursor, cfg.Last, cfg.Since, cfg.SinceTime = c.Cursor, c.Last, c.ago, c.at
	}
	return cfg
}

// Run prints events until there are enough of them, a signal comes or nobody reads them. What the hub
// refuses is a *problem. A second signal ends the program at once.
func (c *SubCmd) Run(con *console) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	signal.Ignore(syscall.SIGPIPE) // a write says so as well, and there is a cursor to save
	defer signal.Reset(syscall.SIGPIPE)
	reader, err := client.Connect(ctx, c.begin())
	if err != nil {
		return &usageError{lines: []string{err.Error()}}
	}
	defer reader.Close()
	s := &subscriber{client: reader, saved: c.saved, left: c.Count, endless: c.Count == 0}
	s.events = &eventWriter{out: con.Out, form: formPlain}
	s.notes = &notes{out: con.Err}
	terminal := isTerminal(con.Out)
	switch {
	case c.JSON && terminal:
		s.events.form = formShownJSON
	case c.JSON:
		s.events.form = formJSON
	case terminal:
		s.events.form = formReadable
	}
	if terminal && isTerminal(con.Err) && os.Getenv("TERM") != "dumb" {
		s.notes.line = newStatusLine(con.Err)
	}
	return s.run(ctx)
}

// turn is how long events are taken before it is looked what else there is to do: to save where the
// program stands, and to say how it does.
const turn = 250 * time.Millisecond

// subscriber is a run of the command. One goroutine does it all, so that what is saved is never ahead
// of what is written.
type subscriber struct {
	client  *client.Client
	events  *eventWriter
	notes   *notes
	saved   *cursorFile // nil: nothing is saved
	endless bool
	left    int    // events to print before the end, unless it is endless
	last    string // the cursor after what was printed last
}

// errEnough ends a run that has printed all that it was to.
var errEnough = errors.New("enough")

// run takes turns until one of them fails, and gives what is to be told of that.
func (s *subscriber) run(ctx context.Context) error {
	for {
		s.notes.tell(s.client.State(), s.client.Stats())
		err := s.takeTurn(ctx)
		if err == nil {
			// Nothing was given to this program that is not printed.
			s.last = s.client.Cursor()
		}
		if saveErr := s.saved.save(s.last); saveErr != nil && (err == nil || !isFailure(err)) {
			err = fmt.Errorf("--save-cursor: %w", saveErr)
		}
		if err == nil {
			continue
		}
		s.notes.end()
		if isFailure(err) {
			return asProblem(err)
		}
		return nil
	}
}

// takeTurn prints events for a while. The error is why there are no more to print.
func (s *subscriber) takeTurn(ctx context.Context) error {
	until, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	for e, err := range s.client.Events(until) {
		switch {
		case err == nil:
			err = s.print(e)
		case ctx.Err() != nil:
			err = ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *subscriber) print(e client.Event) error {
	s.notes.clear()
	if e.Gap != nil {
		s.notes.gap(e.Gap)
	}
	if err := s.events.write(e); err != nil {
		return err
	}
	s.last = e.ID
	if e.Gap == nil && !s.endless {
		if s.left--; s.left == 0 {
			return errEnough
		}
	}
	return nil
}

// isFailure tells from what ends a run as it should: enough was printed, a signal came, or who read
// the output, as head does, has enough.
func isFailure(err error) bool {
	return !errors.Is(err, errEnough) && !errors.Is(err, context.Canceled) && !errors.Is(err, syscall.EPIPE)
}

// asProblem spells a refusal as pub does.
func asProblem(err error) error {
	var final *client.FinalError
	if !errors.As(err, &final) || final.Status == 0 {
		return err
	}
	refused := &problem{Problem: wire.Problem{Status: final.Status}}
	var said *client.Problem
	if errors.As(err, &said) {
		refused.Problem = *said
		refused.Status = final.Status
	}
	return refused
}
