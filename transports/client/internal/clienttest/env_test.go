package clienttest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// Environment variables of a suite. The harness sets them for a suite in another process.
const (
	envControl   = "TRIVIUM_CONTROL"
	envLong      = "TRIVIUM_LONG"
	envSeed      = "TRIVIUM_SEED"
	envRequire   = "TRIVIUM_REQUIRE_BROWSER"
	envTriviumJS = "TRIVIUM_JS" // the URL of trivium.js; set if trivium.js is the client under test
)

// patience is the timeout of waits for expected events. It is long enough for slow machines.
const patience = 3 * time.Minute

// env is the environment of a suite.
type env struct {
	control  string          // URL of the harness
	platform client.Platform // sends requests to the harness, and is also a platform under test
	long     bool
}

func newEnv(control string) *env {
	return &env{control: control, platform: newPlatform(), long: os.Getenv(envLong) != ""}
}

// ask sends a request to the harness and, unless value is nil, decodes the answer into it.
func (e *env) ask(t testing.TB, method, path string, query url.Values, value any) {
	t.Helper()
	require.NoError(t, e.tryAsk(context.Background(), method, path, query, value))
}

// tryAsk is like ask, for goroutines other than the test's.
func (e *env) tryAsk(ctx context.Context, method, path string, query url.Values, value any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	response, err := e.platform.Do(ctx, &client.Request{Method: method, URL: e.control + path + "?" + query.Encode()})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case response.Status != http.StatusOK:
		return fmt.Errorf("%s: %d: %s", path, response.Status, text)
	case value == nil:
		return nil
	}
	return json.Unmarshal(text, value)
}

// hub is a hub of the harness.
type hub struct {
	env *env

	ID       string `json:"id"`
	Direct   string `json:"direct"`   // address of the hub itself at its first start
	URL      string `json:"url"`      // through the proxy with the faults
	Filtered string `json:"filtered"` // through a proxy that forwards only HTTP, then through the proxy with the faults
}

// newHub starts a hub with additional flags.
func (e *env) newHub(t testing.TB, flags ...string) *hub {
	t.Helper()
	h := &hub{env: e}
	e.ask(t, http.MethodPost, "/hubs", url.Values{"flag": flags}, h)
	t.Cleanup(func() { e.ask(t, http.MethodDelete, "/hubs/"+h.ID, nil, nil) })
	return h
}

// do runs an action of the harness on the hub (see station.act). Each parameter name in pairs is followed
// by its value. For publish and calm, the result is the number of the last published event. For drain, it
// is the number of connections that the hub closed at its drain deadline. For other actions, it is 0.
func (h *hub) do(t testing.TB, action string, pairs ...string) (last int) {
	t.Helper()
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	var answer struct{ Last int }
	h.env.ask(t, http.MethodPost, "/hubs/"+h.ID+"/"+action, query, &answer)
	return answer.Last
}

// publish publishes n events on a topic, each with size additional bytes, and returns the number of
// the last one.
func (h *hub) publish(t testing.TB, topic string, n, size int) (last int) {
	t.Helper()
	return h.do(t, "publish", "topic", topic, "n", strconv.Itoa(n), "size", strconv.Itoa(size))
}

var secret = []byte("a secret of the tests, longer than 32 bytes")

// token creates a JWT that the harness's hubs accept, with a lifetime and with filters for reading
// and publishing. It expires at a whole second.
func token(life time.Duration, filters ...string) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"exp": time.Now().Add(life).Unix(), "subscribe": filters, "publish": filters,
	}).SignedString(secret)
}

// tokens returns a TokenSource of tokens with the given lifetime.
func tokens(life time.Duration) client.TokenSource {
	return func(context.Context) (client.Token, error) {
		value, err := token(life, ">")
		return client.Token{Value: value}, err
	}
}

// pattern returns n bytes; byte i is i mod 251.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}
