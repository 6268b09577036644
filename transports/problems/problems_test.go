package problems_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

var errSecret = errors.New("dial 10.0.0.7: password wrong")

func TestProblemOf(t *testing.T) {
	line := 4
	refused := &problems.Problem{Code: problems.CodeInvalidParameter, Title: "t", Status: 400, Line: &line}
	for _, tt := range []struct {
		name      string
		err       error
		code      string
		status    int
		closeCode int
		temporary bool
	}{
		{"problem", refused, problems.CodeInvalidParameter, 400, 4400, false},
		{"invalid", &hub.InvalidError{Parameter: "topic", Detail: "d"}, problems.CodeInvalidParameter, 400, 4400, false},
		{"too large", &hub.InvalidError{Parameter: "data", Detail: "d", TooLarge: true}, problems.CodeTooLarge, 413, 1009, false},
		{"key busy", hub.ErrKeyInUse, problems.CodeKeyBusy, 409, 4400, false},
		{"key reused", hub.ErrKeyReused, problems.CodeKeyReused, 422, 4400, false},
		{"keys full", hub.ErrKeysFull, problems.CodeKeysFull, 503, 1013, true},
		{"unavailable", hub.ErrUnavailable, problems.CodeUnavailable, 503, 1013, true},
		{"closed", hub.ErrClosed, problems.CodeUnavailable, 503, 1013, true},
		{"canceled", context.Canceled, problems.CodeUnavailable, 503, 1013, true},
		{"deadline", context.DeadlineExceeded, problems.CodeUnavailable, 503, 1013, true},
		{"unknown", errSecret, problems.CodeInternal, 500, 1011, false},
		{"bad request", problems.BadRequest("d"), problems.CodeBadRequest, 400, 4400, false},
		{"missing token", problems.MissingToken(), problems.CodeMissingToken, 401, 4401, false},
		{"invalid token", problems.InvalidToken("d"), problems.CodeInvalidToken, 401, 4401, false},
		{"token ended", problems.TokenEnded(), problems.CodeTokenEnded, 401, 4401, false},
		{"forbidden", problems.Forbidden("d"), problems.CodeForbidden, 403, 4403, false},
		{"foreign origin", problems.ForeignOrigin("foreign"), problems.CodeForeignOrigin, 403, 4403, false},
		{"not found", problems.NotFound(), problems.CodeNotFound, 404, 4400, false},
		{"method", problems.MethodNotAllowed("GET, HEAD"), problems.CodeMethodNotAllowed, 405, 4400, false},
		{"too slow", problems.TooSlow(), problems.CodeTooSlow, 408, 4408, false},
		{"request timeout", problems.RequestTimeout(), problems.CodeRequestTimeout, 408, 4408, false},
		{"media type", problems.UnsupportedMediaType("application/json"), problems.CodeUnsupportedMediaType, 415, 4400, false},
		{"host", problems.MisdirectedHost("misdirected"), problems.CodeMisdirectedHost, 421, 4400, false},
		{"upgrade", problems.UpgradeRequired(), problems.CodeUpgradeRequired, 426, 4400, false},
		{"rate", problems.RateLimited("d", time.Second), problems.CodeRateLimited, 429, 1008, true},
		{"header", problems.HeaderTooLarge(16), problems.CodeHeaderTooLarge, 431, 4400, false},
		{"tries", problems.TooManyTries("too often", time.Second), problems.CodeTooManyTries, 429, 1013, true},
		{"connections", problems.TooManyConnections("d", time.Second), problems.CodeTooManyConnections, 503, 1013, true},
		{"draining", problems.Draining(time.Second), problems.CodeDraining, 503, 1001, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := problems.Of(fmt.Errorf("wrapped: %w", tt.err))
			require.Equal(t, tt.code, p.Code)
			require.Equal(t, tt.status, p.Status)
			require.Equal(t, tt.closeCode, p.CloseCode())
			require.Equal(t, tt.temporary, p.RetryAfter > 0)
			require.NotEmpty(t, p.Title)
			require.NotContains(t, p.Error(), "password")
		})
	}
	require.Nil(t, problems.Of(nil))

	p := problems.Of(refused)
	p.Title = "changed"
	require.Equal(t, "t", refused.Title, "a change of the result must not change the error")
}

func TestProblemNamesParameter(t *testing.T) {
	for _, p := range []*problems.Problem{
		problems.BadParameter("wait", "0 to 60 seconds"),
		problems.Of(&hub.InvalidError{Parameter: "wait", Detail: "0 to 60 seconds", TooLarge: true}),
	} {
		require.Equal(t, "wait", p.Parameter)
		require.Equal(t, "wait: 0 to 60 seconds", p.Detail)
		require.Equal(t, p.Title+": wait: 0 to 60 seconds", p.Error())
	}
	require.Equal(t, "Internal error", problems.Of(errSecret).Error())
	require.Empty(t, problems.TooLarge("", "the body is over 1 MiB").Parameter)
}

func TestProblemJSON(t *testing.T) {
	one, zero := 1, 0
	for _, tt := range []struct {
		name string
		p    problems.Problem
		want string
	}{
		{"required members", problems.Problem{Code: "internal", Title: "Internal error", Status: 500},
			`{"type":"urn:trivium:problem:internal","title":"Internal error","status":500}`},
		{"all members", problems.Problem{Code: "c", Title: "T", Status: 400, Detail: "d <&> \" \u2028", Parameter: "p", Line: &one, Accepted: &zero},
			`{"type":"urn:trivium:problem:c","title":"T","status":400,"detail":"d <&> \" ` + "\u2028" + `","parameter":"p","line":1,"accepted":0}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, string(tt.p.AppendJSON(nil)))
			marshaled, err := json.Marshal(&tt.p)
			require.NoError(t, err)
			require.JSONEq(t, tt.want, string(marshaled))

			var got problems.Problem
			require.NoError(t, json.Unmarshal([]byte(tt.want), &got))
			require.Equal(t, tt.p, got)
		})
	}

	var foreign problems.Problem
	require.NoError(t, json.Unmarshal([]byte(`{"type":"about:blank","title":"Bad gateway","status":502,"x":1}`), &foreign))
	require.Equal(t, problems.Problem{Title: "Bad gateway", Status: 502}, foreign)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"status":"x"}`), &foreign), "problem")

	delayed := problems.Draining(time.Second)
	require.NotContains(t, string(delayed.AppendJSON(nil)), "retry")
}
