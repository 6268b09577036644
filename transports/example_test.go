package transports_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
)

// This example publishes an event by calling the hub and receives it over HTTP.
func Example() {
	h, err := hub.New(hub.Config{})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	api, err := transports.New(transports.Config{Hub: h})
	if err != nil {
		panic(err)
	}
	defer api.Close()
	routes := http.NewServeMux()
	routes.Handle("/realtime/", http.StripPrefix("/realtime", api))
	server := httptest.NewServer(routes)
	defer server.Close()

	_, err = h.Publish(context.Background(), &hub.Event{Topic: "orders.eu", Data: []byte(`{"total":1.50}`)})
	if err != nil {
		panic(err)
	}
	fmt.Println(get(server.URL + "/realtime/poll?topic=orders.>&last=1&wait=0"))
	// Output: orders.eu {"total":1.50}
}

func Example_gorilla() {
	api, done := newAPI()
	defer done()
	routes := mux.NewRouter().UseEncodedPath() // a topic in the path may contain an escaped slash
	routes.PathPrefix("/realtime/").Handler(http.StripPrefix("/realtime", api))
	server := httptest.NewServer(routes)
	defer server.Close()
	post(server.URL+"/realtime/publish/orders.eu", `{"total":2}`)
	fmt.Println(get(server.URL + "/realtime/poll?last=1&wait=0"))
	// Output: orders.eu {"total":2}
}

func Example_chi() {
	api, done := newAPI()
	defer done()
	routes := chi.NewRouter()
	routes.Mount("/realtime", http.StripPrefix("/realtime", api))
	server := httptest.NewServer(routes)
	defer server.Close()
	post(server.URL+"/realtime/publish/orders.eu", `{"total":3}`)
	fmt.Println(get(server.URL + "/realtime/poll?last=1&wait=0"))
	// Output: orders.eu {"total":3}
}

// In this example, the program determines the rights of each request.
func ExampleConfig_authorize() {
	h, err := hub.New(hub.Config{})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	users := map[string]string{"a-session": "alice"}
	api, err := transports.New(transports.Config{
		Hub: h,
		Authorize: func(r *http.Request) (*transports.Rights, error) {
			cookie, err := r.Cookie("session")
			if err != nil {
				return nil, auth.ErrNoToken // 401
			}
			user, ok := users[cookie.Value]
			if !ok {
				return nil, errors.New("unknown session") // 403
			}
			return &transports.Rights{
				Subject: user, Subscribe: []string{"users." + user + ".>"}, Expires: time.Now().Add(time.Hour),
			}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	defer api.Close()
	for _, try := range []struct{ cookie, topic string }{
		{"", "users.alice.>"}, {"session=other", "users.alice.>"}, {"session=a-session", "users.bob.>"}, {"session=a-session", "users.alice.>"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/poll?wait=0&topic="+try.topic, nil)
		r.Header.Set("Cookie", try.cookie)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 401
	// 403
	// 403
	// 200
}

func newAPI() (api *transports.API, done func()) {
	h, err := hub.New(hub.Config{})
	if err != nil {
		panic(err)
	}
	api, err = transports.New(transports.Config{Hub: h})
	if err != nil {
		panic(err)
	}
	return api, func() {
		api.Close()
		h.Close()
	}
}

func post(url, body string) {
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	response.Body.Close()
}

// get sends a poll. It returns the topic and the data of the event in the answer.
func get(url string) string {
	response, err := http.Get(url)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	_, topic, _ := strings.Cut(string(body), `"topic":"`)
	topic, rest, _ := strings.Cut(topic, `"`)
	_, data, _ := strings.Cut(rest, `"data":`)
	data, _, _ = strings.Cut(data, "}]")
	return topic + " " + data
}
