package auth

import (
	"net/http"
	"net/url"
	"time"
)

// MaxCookieTokenLen is the longest token that a cookie carries, in bytes: browsers take 4096 for
// name, value and attributes.
const MaxCookieTokenLen = 3 << 10

// cookieName is what the session's cookie is called. Browsers tell the cookies of one host's ports
// and schemes not apart, so that two hubs on one host share it.
const cookieName = "trivium_token"

// maxCookieAge is the longest that browsers keep a cookie.
const maxCookieAge = 400 * 24 * time.Hour

// Session is the handler of sessions, for pages that use EventSource and so cannot set a header:
// POST takes a token from Authorization: Bearer and answers 204 with a cookie that carries it, for
// as long as it is valid; DELETE needs no token and takes the cookie back. An open hub has no use
// for the cookie, and answers POST without one. It judges requests as Middleware does, and must not
// stand behind it.
func (g *Guard) Session(refuse Refuse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, goesOn := g.admit(w, r, refuse)
		if !goesOn {
			return
		}
		var cookie *http.Cookie
		var err error
		switch r.Method {
		case http.MethodPost:
			cookie, err = g.newSession(r, query)
		case http.MethodDelete:
			cookie = &http.Cookie{MaxAge: -1}
		default:
			w.Header().Set("Allow", "DELETE, POST")
			err = ErrMethod
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		if cookie != nil {
			cookie.Name, cookie.Path = cookieName, "/"
			cookie.HttpOnly, cookie.SameSite = true, http.SameSiteStrictMode
			cookie.Secure = g.config.Proxies.Secure(r)
			http.SetCookie(w, cookie)
		}
		w.Header().Set("Cache-Control", "no-store")
		boundBody(w, r)
		w.WriteHeader(http.StatusNoContent)
	})
}

// newSession gives the value and the end of the cookie for the request's token, nil for an open
// hub. Where the token stands is as strict there, so that a client made against an open hub works
// with a closed one; that it stands nowhere is no fault.
func (g *Guard) newSession(r *http.Request, query url.Values) (*http.Cookie, error) {
	token, present, err := findToken(r, query)
	switch {
	case err != nil:
		return nil, err
	case present && bearer(r) == nil:
		return nil, ErrNotBearer
	case g.config.Verifier == nil:
		return nil, nil
	case !present:
		return nil, ErrNoToken
	case len(token) > MaxCookieTokenLen:
		return nil, ErrCookieTooLong
	}
	credential, err := g.verify(token)
	if err != nil {
		return nil, err
	}
	cookie := &http.Cookie{Value: token, Expires: credential.Expires}
	if !credential.Expires.IsZero() {
		left := min(time.Until(credential.Expires), maxCookieAge)
		cookie.MaxAge = max(1, int(left/time.Second)) // 0 would be a cookie without an end
	}
	return cookie, nil
}

// findCookie gives what stands in the session's cookie, which counts as not there where the page
// that had it sent may be a foreign one. The error is ErrTwoTokens if there are several that differ
// (a neighbour of the same site can add one), or ErrCookieTooLong.
func (g *Guard) findCookie(r *http.Request) (token string, present bool, err error) {
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) == 0 || !g.takesCookie(r) {
		return "", false, nil
	}
	token = cookies[0].Value
	for _, another := range cookies[1:] {
		if another.Value != token {
			return "", false, ErrTwoTokens
		}
	}
	if len(token) > MaxCookieTokenLen {
		return "", false, ErrCookieTooLong
	}
	return token, true, nil
}

// takesCookie reports whether the request comes of a page that may use the cookie. SameSite keeps
// only the pages of other sites away, and a GET of fetch's mode "no-cors" or of an <img> has no
// Origin; Sec-Fetch-Site tells it from one of the same origin.
func (g *Guard) takesCookie(r *http.Request) bool {
	switch g.pageOf(r) {
	case samePage:
		return true
	case allowedPage:
		return g.config.Origins.credentialed
	case noPage:
		return ofOwnPage(r)
	}
	return false
}
