package publish

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/problems"
)

const keyHeader = "Idempotency-Key"

const (
	typeJSON  = "application/json"
	typeLines = "application/x-ndjson"
)

// isStream reports whether the body of POST /publish is a stream of lines. If the media type is neither
// typeJSON nor typeLines, it returns a problem with status 415.
func isStream(w http.ResponseWriter, r *http.Request) (bool, error) {
	contentType, err := singleHeader(r, "Content-Type")
	if err != nil {
		return false, err
	}
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	known := mediaType == typeJSON || mediaType == typeLines
	charset := parameters["charset"]
	if err != nil || !known || charset != "" && !strings.EqualFold(charset, "utf-8") {
		w.Header().Set("Accept", typeJSON+", "+typeLines) // RFC 9110 section 15.5.16
		return false, problems.UnsupportedMediaType(typeJSON + " or " + typeLines + ", in UTF-8")
	}
	return mediaType == typeLines, nil
}

// isLineStream reports whether the body of POST /publish/{topic} is a stream of lines. If it is a stream
// in a charset other than UTF-8, isLineStream returns a problem with status 415.
func isLineStream(w http.ResponseWriter, contentType string) (bool, error) {
	mediaType, parameters, _ := mime.ParseMediaType(contentType)
	if charset := parameters["charset"]; mediaType == typeLines && charset != "" && !strings.EqualFold(charset, "utf-8") {
		w.Header().Set("Accept", typeLines)
		return false, problems.UnsupportedMediaType(typeLines + " in UTF-8")
	}
	return mediaType == typeLines, nil
}

// errKeyWithLines is the error if a stream of lines has an idempotency key.
var errKeyWithLines = problems.BadParameter(keyHeader, "cannot be used with application/x-ndjson, which may be published in part")

// typeAndKey returns the type and the key that a request sets for its events: the values of the headers
// Trivium-Type and Trivium-Key or, if a header is missing or empty, of the query parameters type and key.
func typeAndKey(r *http.Request) (kind, key string, err error) {
	query, problem := web.ParseQuery(r)
	if problem != nil {
		return "", "", problem
	}
	for _, place := range []struct {
		header, parameter string
		value             *string
	}{{"Trivium-Type", "type", &kind}, {"Trivium-Key", "key", &key}} {
		if *place.value, err = singleHeader(r, place.header); err != nil {
			return "", "", err
		}
		values := query[place.parameter]
		if len(values) > 1 {
			return "", "", problems.BadParameter(place.parameter, "must be given only once")
		}
		if *place.value == "" && len(values) == 1 {
			*place.value = values[0]
		}
	}
	return kind, key, nil
}

// contentEncoding is the compression of a body.
type contentEncoding int

const (
	identity contentEncoding = iota
	gzipped
)

// encodingOf parses the header Content-Encoding. For anything except gzip or identity, and if gzip is
// applied twice, it returns a problem with status 415.
func encodingOf(w http.ResponseWriter, r *http.Request) (contentEncoding, error) {
	found := identity
	for name := range web.Elements(r.Header["Content-Encoding"]) {
		switch name = strings.ToLower(name); {
		case name == "identity":
		case (name == "gzip" || name == "x-gzip") && found == identity:
			found = gzipped
		default:
			w.Header().Set("Accept-Encoding", "gzip") // RFC 9110 section 12.5.3
			return 0, problems.UnsupportedMediaType("Content-Encoding: gzip, or no Content-Encoding")
		}
	}
	return found, nil
}

// encodingAndKey returns the content encoding and the idempotency key of a request.
func encodingAndKey(w http.ResponseWriter, r *http.Request) (encoding contentEncoding, key string, err error) {
	if encoding, err = encodingOf(w, r); err != nil {
		return 0, "", err
	}
	key, err = idempotencyKey(r)
	return encoding, key, err
}

// idempotencyKey returns the idempotency key of a request, or "" if it has none.
func idempotencyKey(r *http.Request) (string, error) {
	key, err := singleHeader(r, keyHeader)
	if err != nil {
		return "", err
	}
	if _, present := r.Header[keyHeader]; present && (key == "" || len(key) > hub.MaxIdempotencyKeyLen) {
		return "", problems.BadParameter(keyHeader, fmt.Sprintf("must have 1 to %d bytes, got %d", hub.MaxIdempotencyKeyLen, len(key)))
	}
	return key, nil
}

// singleHeader returns the value of a header, or "" if it is missing. If the header is repeated,
// singleHeader returns a problem.
func singleHeader(r *http.Request, name string) (string, error) {
	if lines := r.Header[name]; len(lines) > 1 {
		return "", problems.BadParameter(name, "must be given only once")
	}
	return r.Header.Get(name), nil
}
