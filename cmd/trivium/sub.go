package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/problems"
)

// SubCmd prints events as they arrive.
type SubCmd struct {
	URL   string `name:"url" default:"http://127.0.0.1:3000" env:"TRIVIUM_URL" help:"The hub's URL, http or https."`
	Token string `env:"TRIVIUM_TOKEN" help:"Token that may subscribe. Prefer the variable, because other users can see the command line."`
	CAConfig
	Transport  string   `default:"auto" help:"Transport: websocket, sse, longpoll, or auto for the first of them that works."`
	Last       int      `placeholder:"N" help:"Start with the newest N retained events, at most 1000."`
	Since      string   `placeholder:"WHEN" help:"Start with the first event that is not older than a duration such as 10m or an RFC 3339 time."`
	Cursor     string   `placeholder:"ID" help:"Start after the event with this ID."`
	Conflate   bool     `help:"When this subscriber falls behind, receive only the newest of several waiting events with the same topic and key."`
	JSON       bool     `name:"json" help:"Print envelopes, one per line, and gaps as lines {\"gap\":{…}}."`
	Count      int      `placeholder:"N" help:"Exit after N events. Default: no limit."`
	SaveCursor string   `placeholder:"FILE" help:"Save the position in this file, and resume from it at the next run."`
	Topics     []string `arg:"" optional:"" help:"Topics or filters such as 'orders.>' to read. Default: all events that the token may read."`

	ago   time.Duration // Since as a duration, set by check; 0: Since is a time
	at    time.Time     // Since as a time, set by check
	saved *cursorFile   // the file of SaveCursor, set by check; nil: not set
}

// Help describes the output, the exit codes and the start position.
func (SubCmd) Help() string {
	return "On a terminal, each event is a readable line, with a status line below. Otherwise only its data is printed, one line per " +
		"event: JSON on one line, text unchanged or as a JSON string if it contains line breaks, binary data in base64. " +
		"Lost events are reported on standard error. " +
		"The command reconnects until --count is reached, SIGINT or SIGTERM arrives, the reader of its output exits " +
		"(exit code 0 for these) or the hub refuses the subscription (exit code 1).\n\n" +
		"--cursor, --last and --since apply only while the file of --save-cursor is empty, so the same " +
		"command line works for the first run and all later ones. The file is written after events are printed, at most four times per " +
		"second, and at exit. If the process is killed in between, the next run prints the last events again. No event is lost."
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

// checkCursor checks the length and the characters of a cursor (docs/protocol.md#cursors). The hub decides
// whether the cursor is valid.
func checkCursor(s string) string {
	odd := func(c byte) bool {
		return c != '.' && c != '_' && c != '~' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}
	if s == "" || len(s) > 64 || slices.ContainsFunc([]byte(s), odd) {
		return fmt.Sprintf("want an event's id such as 1f0c9a3e-42, got %q", s[:min(len(s), 100)])
	}
	return ""
}

func (c *SubCmd) check() []settings.Fault {
	trimSpace(&c.URL, &c.Token)
	faults := append(checkHubURL(c.URL), c.checkCA()...)
	faults = append(faults, settings.Faults("transport", settings.OneOf(c.Transport, slices.Sorted(maps.Keys(transportNames))...))...)
	faults = append(faults, settings.Faults("last", settings.Between(c.Last, 0, hub.MaxLast))...)
	faults = append(faults, settings.Faults("since", c.parseSince())...)
	if c.Cursor != "" {
		faults = append(faults, settings.Faults("cursor", checkCursor(c.Cursor))...)
	}
	starts := 0
	for _, said := range []bool{c.Cursor != "", c.Last != 0, c.Since != ""} {
		if said {
			starts++
		}
	}
	if starts > 1 {
		faults = append(faults, settings.Fault{Setting: "--cursor", Detail: fmt.Sprintf("want one of --cursor, --last and --since, got %d", starts)})
	}
	faults = append(faults, settings.Faults("count", settings.Between(c.Count, 0, settings.MaxCount))...)
	for _, topic := range c.Topics {
		var invalid *hub.InvalidError
		if _, err := hub.ParseFilter(topic); errors.As(err, &invalid) {
			faults = append(faults, settings.Fault{Setting: "<topics>", Detail: fmt.Sprintf("%s, got %q", invalid.Detail, topic)})
		}
	}
	if c.SaveCursor != "" && len(faults) == 0 {
		var err error
		c.saved, err = openCursorFile(c.SaveCursor)
		faults = append(faults, settings.Faults("save-cursor", settings.ErrorText(err))...)
	}
	return faults
}

// parseSince parses Since as a duration or a time. It returns a description of the fault, or "".
func (c *SubCmd) parseSince() string {
	if c.Since == "" {
		return ""
	}
	var err error
	if c.ago, err = time.ParseDuration(c.Since); err == nil {
		return settings.Between(c.ago, time.Nanosecond, settings.MaxRetainAge)
	}
	if c.at.UnmarshalText([]byte(c.Since)) != nil || c.at.IsZero() {
		return fmt.Sprintf("want a duration such as 10m or a time such as 2026-01-31T00:00:00Z, got %q", c.Since)
	}
	return ""
}

// clientConfig returns the client's configuration.
func (c *SubCmd) clientConfig() client.Config {
	cfg := client.Config{URL: c.URL, Transport: transportNames[c.Transport], Topics: c.Topics, Conflate: c.Conflate}
	if c.CAFile != "" {
		cfg.Platform = client.NewPlatform(&http.Client{Transport: c.transport()})
	}
	if c.Token != "" {
		cfg.Token = client.StaticToken(c.Token)
	}
	if cfg.Cursor = c.saved.cursor(); cfg.Cursor == "" {
		cfg.Cursor, cfg.Last, cfg.Since, cfg.SinceTime = c.Cursor, c.Last, c.ago, c.at
	}
	return cfg
}

// Run prints events until --count is reached, a signal arrives or the reader of the output exits. If
// the hub refuses the subscription, the error is a *problem. A second signal ends the process at once.
func (c *SubCmd) Run(con *console) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	signal.Ignore(syscall.SIGPIPE) // instead, the failed write returns an error, and the cursor is saved
	defer signal.Reset(syscall.SIGPIPE)
	reader, err := client.Connect(ctx, c.clientConfig())
	if err != nil {
		return &settings.UsageError{Lines: []string{err.Error()}}
	}
	defer reader.Close()
	s := &subscriber{client: reader, saved: c.saved, left: c.Count, endless: c.Count == 0}
	s.events = &eventWriter{out: con.Out, format: formatPlain}
	s.status = &statusReporter{out: con.Err}
	shown := terminal.Attached(con.Out)
	switch {
	case c.JSON && shown:
		s.events.format = formatShownJSON
	case c.JSON:
		s.events.format = formatJSON
	case shown:
		s.events.format = formatReadable
	}
	if shown && terminal.Attached(con.Err) && os.Getenv("TERM") != "dumb" {
		s.status.line = newStatusLine(con.Err)
	}
	return s.run(ctx)
}

// updateInterval is the interval at which the cursor is saved and the status line is updated.
const updateInterval = 250 * time.Millisecond

// subscriber is one run of the command. A single goroutine prints events and saves the cursor, so that the
// saved cursor is never ahead of the output.
type subscriber struct {
	client  *client.Client
	events  *eventWriter
	status  *statusReporter
	saved   *cursorFile // nil: not set
	endless bool
	left    int    // number of events still to be printed, unless endless
	last    string // cursor of the last printed event, or a newer position
}

// errEnough ends a run that has printed --count events.
var errEnough = errors.New("enough")

// run prints events and saves the cursor, until an error occurs or no more events are to be printed. It returns the
// error to report.
func (s *subscriber) run(ctx context.Context) error {
	for {
		s.status.report(s.client.State(), s.client.Stats())
		err := s.printUntilUpdate(ctx)
		if err == nil {
			// The client's cursor can be saved, because all events that the client delivered have been
			// printed.
			s.last = s.client.Cursor()
		}
		if saveErr := s.saved.save(s.last); saveErr != nil && (err == nil || !isFailure(err)) {
			err = fmt.Errorf("--save-cursor: %w", saveErr)
		}
		if err == nil {
			continue
		}
		s.status.end()
		if isFailure(err) {
			return asProblem(err)
		}
		return nil
	}
}

// printUntilUpdate prints events for the duration updateInterval. It returns an error if there are no more
// events to print.
func (s *subscriber) printUntilUpdate(ctx context.Context) error {
	until, cancel := context.WithTimeout(ctx, updateInterval)
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
	s.status.clear()
	if e.Gap != nil {
		s.status.gap(e.Gap)
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

// isFailure reports whether an error means that the command has failed. It returns false if the
// command has printed --count events, was stopped by a signal, or writes to a pipe whose reader,
// such as head, has exited.
func isFailure(err error) bool {
	return !errors.Is(err, errEnough) && !errors.Is(err, context.Canceled) && !errors.Is(err, syscall.EPIPE)
}

// asProblem returns the error as a *problem, the error type of trivium pub, if the hub has refused the
// subscription. Otherwise it returns the error unchanged.
func asProblem(err error) error {
	var final *client.FinalError
	if !errors.As(err, &final) || final.Status == 0 {
		return err
	}
	refused := &problem{Problem: problems.Problem{Status: final.Status}}
	var said *client.Problem
	if errors.As(err, &said) {
		refused.Problem = *said
		refused.Status = final.Status
	}
	return refused
}
