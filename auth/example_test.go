package auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
)

// This example loads a file with the hash of one token, and prints the rights of a request with
// that token.
func Example() {
	token := auth.NewToken()
	file, err := auth.AppendToken(nil, auth.TokenEntry{Name: "reader", Token: token, Subscribe: []hub.Filter{hub.Everything}})
	if err != nil {
		panic(err)
	}
	tokens := auth.NewTokens(auth.Limits{})
	if err := tokens.Load(file); err != nil {
		panic(err)
	}
	refuse := func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), auth.ProblemOf(err).Status)
	}
	handler := auth.New(auth.Config{Verifier: tokens}).Wrap(refuse)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		grant := auth.AccessFrom(r.Context()).Grant()
		fmt.Println(grant.Subject, grant.MayPublish("orders.eu"))
	}))
	for _, header := range []string{"Bearer " + token, "Bearer another"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// reader false
	// 200
	// 401
}
