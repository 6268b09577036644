package auth

import (
	"net/http"
	"net/url"
	"time"
)

// MaxCookieTokenLen is the longest token that a cookie carries, in bytes: browsers take 4096 for
// name, value and attributes.
const MaxCookieTokenLen = 3 << 10

// Names of the session's cookie. Browsers do not keep the cookies of one host's ports apart, so two
// hubs on one host share them.
const (
	// secureCookieName is the name over HTTPS. By its prefix, browsers take such a cookie only from
	// the host itself over HTTPS: a neighbour of the same site cannot set one (RFC 6265bis).
	secureCookieName = "__Host-trivium_token"
	// cookieName is the name over HTTP, where browsers refuse the other. Over HTTPS it is read for
	// sessions that began before there were two names.
	cookieName = "trivium_token"
)

// maxCookieAge is the longest that browsers keep a cookie.
const maxCookieAge = 400 * 24 * time.Hour

// Session is the handler of sessions, for pages that use EventSource and so cannot set a header:
// POST takes a token from Authorization: Bearer and answers 204 with a cookie that carries it, for
// as long as it is valid; DELETE needs no token and takes the cookie back. An open hub has no use
// for the cookie, and answers POST without one. It judges requests as Middleware does, and must not
// stand behind it.
func (m *Middleware) Session(refuse ErrorHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, goesOn := m.admit(w, r, refuse)
		if !goesOn {
			return
		}
		var cookie *http.Cookie
		var err error
		switch r.Method {
		case http.MethodPost:
			cookie, err = m.newSession(r, query)
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
			setCookie(w, r, cookie, m.config.Proxies.Secure(r))
		}
		w.Header().Set("Cache-Control", "no-store")
		boundBody(w, r)
		w.WriteHeader(http.StatusNoContent)
	})
}

// setCookie sends the session's cookie, or takes it back where its MaxAge is negative. Over HTTPS one of
// the other name is taken back in any case.
func setCookie(w http.ResponseWriter, r *http.Request, cookie *http.Cookie, secure bool) {
	cookie.Path, cookie.HttpOnly, cookie.SameSite = "/", true, http.SameSiteStrictMode
	cookie.Name = cookieName
	if cookie.Secure = secure; secure {
		cookie.Name = secureCookieName
	}
	http.SetCookie(w, cookie)
	if secure && len(r.CookiesNamed(cookieName)) > 0 {
		old := *cookie
		old.Name, old.Value, old.Expires, old.MaxAge = cookieName, "", time.Time{}, -1
		http.SetCookie(w, &old)
	}
}

// newSession gives the value and the end of the cookie for the request's token, nil for an open
// hub. Where the token stands is as strict there, so that a client made against an open hub works
// with a closed one; that it stands nowhere is no fault.
func (m *Middleware) newSession(r *http.Request, query url.Values) (*http.Cookie, error) {
	token, present, err := findToken(r, query)
	switch {
	case err != nil:
		return nil, err
	case present && bearer(r) == nil:
		return nil, ErrNotBearer
	case m.config.Verifier == nil:
		return nil, nil
	case !present:
		return nil, ErrNoToken
	case len(token) > MaxCookieTokenLen:
		return nil, ErrCookieTooLong
	}
	credential, err := m.verify(token)
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
// (a neighbour of the same site can add one to the name without prefix), or ErrCookieTooLong. That name
// counts only where the other is not there.
func (m *Middleware) findCookie(r *http.Request) (token string, present bool, err error) {
	cookies := r.CookiesNamed(secureCookieName)
	if len(cookies) == 0 {
		cookies = r.CookiesNamed(cookieName)
	}
	if len(cookies) == 0 || !m.takesCookie(r) {
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

// findBasic returns the password of Authorization: Basic, with which senders of web hooks and the
// like can carry a token, whatever the user name is. It counts least, since it may be meant for a proxy in
// between, and only where a cookie would: browsers add it to requests of foreign pages by themselves.
func (m *Middleware) findBasic(r *http.Request) (token string, present bool) {
	_, password, ok := r.BasicAuth()
	if !ok || password == "" || !m.takesCookie(r) {
		return "", false
	}
	return password, true
}

// takesCookie reports whether the request comes of a page that may use the cookie. SameSite keeps
// only the pages of other sites away, and a GET of fetch's mode "no-cors" or of an <img> has no
// Origin; Sec-Fetch-Site tells it from one of the same origin.
func (m *Middleware) takesCookie(r *http.Request) bool {
	switch m.pageOf(r) {
	case samePage:
		return true
	case allowedPage:
		return m.config.Origins.credentialed && r.Header.Get("Origin") != nullOrigin
	case noPage:
		return ofOwnPage(r)
	}
	return false
}
