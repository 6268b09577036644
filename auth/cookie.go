package auth

import (
	"net/http"
	"net/url"
	"time"
)

// MaxCookieTokenLen is the longest token in a cookie, in bytes. Browsers limit name, value and
// attributes together to 4096.
const MaxCookieTokenLen = 3 << 10

// Names of the session's cookie. Browsers do not separate cookies by port, so two hubs on one host
// share them.
const (
	// secureCookieName is the name over HTTPS. Because of its prefix, browsers accept the cookie
	// only from the host itself over HTTPS; another host of the same site cannot set it (RFC
	// 6265bis).
	secureCookieName = "__Host-trivium_token"
	// cookieName is the name over HTTP, where browsers refuse the other. Over HTTPS it is read for
	// sessions from before the second name was introduced.
	cookieName = "trivium_token"
)

// maxCookieAge is the longest lifetime that browsers accept.
const maxCookieAge = 400 * 24 * time.Hour

// Session returns the handler of sessions, for pages that use EventSource and so cannot set a
// header. POST takes a token from Authorization: Bearer and answers 204 with a cookie that contains
// the token, for as long as it is valid. DELETE needs no token and removes the cookie. An open hub
// needs no cookie, and answers POST without one. Session checks requests like Wrap, and must not be
// wrapped by it.
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
			cookie, err = m.newSession(r, query.values)
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

// setCookie sends the session's cookie, or removes it if MaxAge is negative. Over HTTPS it also
// removes a cookie with the other name.
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

// newSession returns the cookie with the request's token, or nil for an open hub. An open hub
// checks the place of the token too, so that a client written for it works with others, but
// requires no token.
func (m *Middleware) newSession(r *http.Request, query url.Values) (*http.Cookie, error) {
	token, present, err := findToken(r, query)
	switch {
	case err != nil:
		return nil, err
	case present && bearerToken(r) == nil:
		return nil, ErrNotBearer
	case m.config.Verifier == nil:
		return nil, nil
	case !present:
		return nil, ErrNoToken
	case len(token) > MaxCookieTokenLen:
		return nil, ErrCookieTooLong
	}
	credential, err := m.verify(r.Context(), r, token)
	if err != nil {
		return nil, err
	}
	cookie := &http.Cookie{Value: token, Expires: credential.Expires}
	if !credential.Expires.IsZero() {
		left := min(time.Until(credential.Expires), maxCookieAge)
		cookie.MaxAge = max(1, int(left/time.Second)) // 0 would mean no limit
	}
	return cookie, nil
}

// findCookie returns the token in the session's cookie. A cookie is ignored if the request may come
// from a foreign page. The error is ErrTwoTokens for several different cookies (another host of the
// same site can add one to the name without prefix), or ErrCookieTooLong. The name without prefix
// counts only if there is no cookie with the other.
func (m *Middleware) findCookie(r *http.Request) (token string, present bool, err error) {
	cookies := r.CookiesNamed(secureCookieName)
	if len(cookies) == 0 {
		cookies = r.CookiesNamed(cookieName)
	}
	if len(cookies) == 0 || !m.acceptsCookie(r) {
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

// findBasic returns the password of Authorization: Basic, in which senders of webhooks can pass a
// token; the user name is ignored. It has the lowest priority, since it may be meant for a proxy.
// It counts only where a cookie would, since browsers add it to requests of foreign pages.
func (m *Middleware) findBasic(r *http.Request) (token string, present bool) {
	_, password, ok := r.BasicAuth()
	if !ok || password == "" || !m.acceptsCookie(r) {
		return "", false
	}
	return password, true
}

// acceptsCookie reports whether the request comes from a page that may use the cookie. SameSite
// excludes only pages of other sites, and GET requests of fetch's mode "no-cors" or of an <img>
// have no Origin; Sec-Fetch-Site distinguishes those.
func (m *Middleware) acceptsCookie(r *http.Request) bool {
	switch m.originKindOf(r) {
	case sameOriginPage:
		return true
	case allowedOrigin:
		return m.config.Origins.credentialed && r.Header.Get("Origin") != nullOrigin
	case noOrigin:
		return notCrossSite(r)
	}
	return false
}
