package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

var errSecret = errors.New("dial 10.0.0.7: password wrong")

func TestProblemOf(t *testing.T) {
	line := 4
	refused := &wire.Problem{Code: wire.CodeInvalidParameter, Title: "t", Status: 400, Line: &line}
	for _, tt := range []struct {
		name      string
		err       error
		code      string
		status    int
		closeCode int
		temporary bool
	}{
		{"problem", refused, wire.CodeInvalidParameter, 400, 4400, false},
		{"invalid", &hub.InvalidError{Parameter: "topic", Detail: "d"}, wire.CodeInvalidParameter, 400, 4400, false},
		{"too large", &hub.InvalidError{Parameter: "data", Detail: "d", TooLarge: true}, wire.CodeTooLarge, 413, 1009, false},
		{"key busy", hub.ErrKeyInUse, wire.CodeKeyBusy, 409, 4400, false},
		{"key reused", hub.ErrKeyReused, wire.CodeKeyReused, 422, 4400, false},
		{"keys full", hub.ErrKeysFull, wire.CodeKeysFull, 503, 1013, true},
		{"unavailable", hub.ErrUnavailable, wire.CodeUnavailable, 503, 1013, true},
		{"closed", hub.ErrClosed, wire.CodeUnavailable, 503, 1013, true},
		{"canceled", context.Canceled, wire.CodeUnavailable, 503, 1013, true},
		{"deadline", context.DeadlineExceeded, wire.CodeUnavailable, 503, 1013, true},
		{"unknown", errSecret, wire.CodeInternal, 500, 1011, false},
		{"bad request", wire.BadRequest("d"), wire.CodeBadRequest, 400, 4400, false},
		{"missing token", wire.MissingToken(), wire.CodeMissingToken, 401, 4401, false},
		{"invalid token", wire.InvalidToken("d"), wire.CodeInvalidToken, 401, 4401, false},
		{"token ended", wire.TokenEnded(), wire.CodeTokenEnded, 401, 4401, false},
		{"forbidden", wire.Forbidden("d"), wire.CodeForbidden, 403, 4403, false},
		{"foreign origin", wire.ForeignOrigin("foreign"), wire.CodeForeignOrigin, 403, 4403, false},
		{"not found", wire.NotFound(), wire.CodeNotFound, 404, 4400, false},
		{"method", wire.MethodNotAllowed("GET, HEAD"), wire.CodeMethodNotAllowed, 405, 4400, false},
		{"too slow", wire.TooSlow(), wire.CodeTooSlow, 408, 4408, false},
		{"request timeout", wire.RequestTimeout(), wire.CodeRequestTimeout, 408, 4408, false},
		{"media type", wire.UnsupportedMediaType("application/json"), wire.CodeUnsupportedMediaType, 415, 4400, false},
		{"host", wire.MisdirectedHost("misdirected"), wire.CodeMisdirectedHost, 421, 4400, false},
		{"upgrade", wire.UpgradeRequired(), wire.CodeUpgradeRequired, 426, 4400, false},
		{"rate", wire.RateLimited("d", time.Second), wire.CodeRateLimited, 429, 1008, true},
		{"header", wire.HeaderTooLarge(16), wire.CodeHeaderTooLarge, 431, 4400, false},
		{"tries", wire.TooManyTries("too often", time.Second), wire.CodeTooManyTries, 429, 1013, true},
		{"connections", wire.TooManyConnections("d", time.Second), wire.CodeTooManyConnections, 503, 1013, true},
		{"draining", wire.Draining(time.Second), wire.CodeDraining, 503, 1001, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := wire.ProblemOf(fmt.Errorf("wrapped: %w", tt.err))
			require.Equal(t, tt.code, p.Code)
			require.Equal(t, tt.status, p.Status)
			require.Equal(t, tt.closeCode, p.CloseCode())
			require.Equal(t, tt.temporary, p.RetryAfter > 0)
			require.NotEmpty(t, p.Title)
			require.NotContains(t, p.Error(), "password")
		})
	}
	require.Nil(t, wire.ProblemOf(nil))

	p := wire.ProblemOf(refused)
	p.Title = "changed"
	require.Equal(t, "t", refused.Title, "the result is the caller's own")
}

func TestProblemNamesParameter(t *testing.T) {
	for _, p := range []*wire.Problem{
		wire.BadParameter("wait", "0 to 60 seconds"),
		wire.ProblemOf(&hub.InvalidError{Parameter: "wait", Detail: "0 to 60 seconds", TooLarge: true}),
	} {
		require.Equal(t, "wait", p.Parameter)
		require.Equal(t, "wait: 0 to 60 seconds", p.Detail)
		require.Equal(t, p.Title+": wait: 0 to 60 seconds", p.Error())
	}
	require.Equal(t, "Internal error", wire.ProblemOf(errSecret).Error())
	require.Empty(t, wire.TooLarge("", "the body is over 1 MiB").Parameter)
}

func TestProblemJSON(t *testing.T) {
	one, zero := 1, 0
	for _, tt := range []struct {
		name string
		p    wire.Problem
		want string
	}{
		{"least", wire.Problem{Code: "internal", Title: "Internal error", Status: 500},
			`{"type":"urn:trivium:problem:internal","title":"Internal error","status":500}`},
		{"all", wire.Problem{Code: "c", Title: "T", Status: 400, Detail: "d <&> \" \u2028", Parameter: "p", Line: &one, Accepted: &zero},
			`{"type":"urn:trivium:problem:c","title":"T","status":400,"detail":"d <&> \" ` + "\u2028" + `","parameter":"p","line":1,"accepted":0}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, string(tt.p.AppendJSON(nil)))
			marshaled, err := json.Marshal(&tt.p)
			require.NoError(t, err)
			require.JSONEq(t, tt.want, string(marshaled))

			var got wire.Problem
			require.NoError(t, json.Unmarshal([]byte(tt.want), &got))
			require.Equal(t, tt.p, got)
		})
	}

	var foreign wire.Problem
	require.NoError(t, json.Unmarshal([]byte(`{"type":"about:blank","title":"Bad gateway","status":502,"x":1}`), &foreign))
	require.Equal(t, wire.Problem{Title: "Bad gateway", Status: 502}, foreign)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"status":"x"}`), &foreign), "problem")

	delayed := wire.Draining(time.Second)
	require.NotContains(t, string(delayed.AppendJSON(nil)), "retry")
}
