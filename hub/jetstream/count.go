package jetstream

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// Count implements hub.Log. It is cheap, because the stream's leader keeps the number of messages
// per subject in memory.
func (e *Engine) Count(ctx context.Context, set hub.FilterSet, enough int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	counted := make(map[string]bool) // each subject counts once, although filters may overlap
	count := 0
	for _, f := range set.Filters() {
		subjects, err := e.subjects(ctx, e.prefix+f.String())
		if err != nil {
			return 0, unavailable(err)
		}
		for subject, n := range subjects {
			if !counted[subject] && set.Match(subject[len(e.prefix):]) {
				counted[subject] = true
				count += int(n)
			}
		}
		if count >= enough {
			return count, nil
		}
	}
	return count, nil
}

// subjects returns the number of messages for each subject that the filter matches. The server
// lists at most 100,000 subjects, which suffices for every caller.
func (e *Engine) subjects(ctx context.Context, filter string) (map[string]uint64, error) {
	body, err := json.Marshal(map[string]string{"subjects_filter": filter})
	if err != nil {
		return nil, err
	}
	m, err := e.conn.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+e.cfg.Stream, body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.StreamInfo
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Cluster != nil && answer.Cluster.Leader == "":
		return nil, errors.New("the stream has no leader") // without a leader, the answer may be from a server with an incomplete copy
	case answer.State.LastSeq < e.follows.reached():
		return nil, errors.New("the NATS server that answered lacks events that were already read")
	}
	return answer.State.Subjects, nil
}
