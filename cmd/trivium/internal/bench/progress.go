package bench

import (
	"io"
	"strings"

	"github.com/schollz/progressbar/v3"
)

// progress shows the progress of a run as a bar.
type progress struct {
	bar     *progressbar.ProgressBar // nil: nothing is shown
	started int                      // number of steps of all scenarios that have begun
}

// steps returns the maximum number of times that the measurement calls progress.step.
func (s spec) steps() int {
	switch s.scenario {
	case Idle, Resume, MillionSubscribers:
		return 1
	case Ingest:
		if s.engine == "" {
			return s.rounds * len(ways)
		}
		return s.rounds * (s.sides() + len(engineWays))
	case Replay:
		return s.rounds * s.sides() * len(s.delays())
	case Scale:
		return s.rounds * s.sides() * len(s.levels())
	case Fanout:
		if s.engine != "" {
			return 2 * s.sides() * s.rounds
		}
	}
	return s.sides() * s.rounds
}

func newProgress(w io.Writer, specs []spec) *progress {
	if w == nil {
		return &progress{}
	}
	total := 0
	for _, s := range specs {
		total += s.steps()
	}
	return &progress{bar: progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false))}
}

// begin shows the current scenario.
func (p *progress) begin(s spec) {
	if p.bar == nil {
		return
	}
	p.bar.Describe(strings.TrimSpace(s.scenario + " " + s.transport))
	_ = p.bar.Set(p.started) // errors of the display are ignored
	p.started += s.steps()
}

func (p *progress) step() {
	if p.bar != nil {
		_ = p.bar.Add(1)
	}
}

func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
