package auth

import (
	"net/http"
	"net/url"
	"time"
)

// MaxCookieTokenLen is the maximum length of a token in a cookie, in bytes. Browsers limit name,
// value and attributes together to 4096 bytes.
const MaxCookieTokenLen = 3 << 10

// Names of the session cookie. Browsers do not separate cookies by port, so two hubs on one host
// share the cookie.
const (
	// secureCookieName is the name over HTTPS. Because of the prefix __Host-, browsers accept the
	// cookie only over HTTPS and only from the host itself; other hosts of the same site cannot set
	// it (RFC 6265bis).
	secureCookieName = "__Host-trivium_token"
	// cookieName is the name over HTTP, where browsers refuse secureCookieName. Over HTTPS it is
	// also read, for sessions that older versions have created under this name.
	cookieName = "trivium_token"
)

// maxCookieAge is the longest lifetime that browsers accept.
const maxCookieAge = 400 * 24 * time.Hour

// Session returns the handler for sessions. Pages that use EventSource need a session, because they
// cannot set a header. POST takes a token from Authorization: Bearer and answers 204 with a cookie.
// The cookie contains the token, and expires with it. DELETE removes the cookie and needs no token.
// An open hub (one without a Verifier) answers POST without a cookie. The handler checks Host and
// Origin itself, so it must not be passed to Wrap.
func (m *Middleware) Session(refuse ErrorHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, proceed := m.admit(w, r, refuse)
		if !proceed {
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

// setCookie sends the session cookie, or removes it if MaxAge is negative. Over HTTPS it also
// removes a cookie with the name cookieName.
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
// requires no token, but refuses a token in the wrong place, so that clients that work with an open
// hub also work with other hubs.
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
		cookie.MaxAge = max(1, int(left/time.Second)) // a MaxAge of 0 would mean that the cookie does not expire
	}
	return cookie, nil
}

// findCookie returns the token in the session cookie. It ignores the cookies if a page of a foreign
// origin may have sent the request. It reads cookieName only if there is no cookie with the name
// secureCookieName, because another host of the same site can set cookieName. The error is
// ErrCookieTooLong, or ErrTwoTokens if cookies with one name have different values.
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

// findBasic returns the password of Authorization: Basic, where senders of webhooks can put a
// token. The user name is ignored. The password has the lowest priority, because it may be meant
// for a proxy. It is accepted only where a cookie would be accepted, because browsers also send it
// with requests of foreign pages.
func (m *Middleware) findBasic(r *http.Request) (token string, present bool) {
	_, password, ok := r.BasicAuth()
	if !ok || password == "" || !m.acceptsCookie(r) {
		return "", false
	}
	return password, true
}

// acceptsCookie reports whether the request was sent by a page whose cookies are accepted. The
// cookie's attribute SameSite excludes pages of other sites, but not of other origins of the same
// site. The header Origin does not suffice either: browsers omit it from the GET requests of an
// <img> and of fetch calls with mode "no-cors". The header Sec-Fetch-Site distinguishes these
// requests.
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
