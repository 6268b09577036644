package hostile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const (
	issuerName = "https://issuer.example"
	audience   = "trivium"
)

// issuer creates valid and invalid JWTs, and serves its remote keys at the URL /jwks.json. At all
// other URLs, it serves a key that no hub accepts, and counts the requests: no hub may send any.
type issuer struct {
	testbed *testbed
	url     string

	hmacKey              []byte
	rsa, remoteRSA       *rsa.PrivateKey
	ec, remoteEC         *ecdsa.PrivateKey
	ed                   ed25519.PrivateKey
	strange              *rsa.PrivateKey // a key that no hub accepts
	pem                  string
	keySet, strangeSet   []byte
	fetched, luredBySome atomic.Int64
}

func newIssuer(t *testing.T, f *testbed) *issuer {
	i := &issuer{testbed: f, hmacKey: []byte(f.secret(rand.Text() + rand.Text()))}
	i.rsa, i.remoteRSA, i.strange = rsaKey(t), rsaKey(t), rsaKey(t)
	i.ec, i.remoteEC = ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	var err error
	_, i.ed, err = ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	i.pem = publicPEM(t, &i.rsa.PublicKey) + publicPEM(t, &i.ec.PublicKey) + publicPEM(t, i.ed.Public())
	i.keySet = fmt.Appendf(nil, `{"keys":[%s,%s]}`, rsaJWK("remote-rsa", i.remoteRSA), ecJWK("remote-ec", i.remoteEC))
	i.strangeSet = fmt.Appendf(nil, `{"keys":[%s]}`, rsaJWK("strange", i.strange))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks.json" {
			i.fetched.Add(1)
			_, _ = w.Write(i.keySet)
			return
		}
		i.luredBySome.Add(1)
		_, _ = w.Write(i.strangeSet)
	}))
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func publicDER(t *testing.T, key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return der
}

func publicPEM(t *testing.T, key any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(t, key)}))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func rsaJWK(kid string, key *rsa.PrivateKey) string {
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":"AQAB"}`, kid, b64(key.N.Bytes()))
}

func ecJWK(kid string, key *ecdsa.PrivateKey) string {
	x, y := make([]byte, 32), make([]byte, 32)
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q}`, kid, b64(key.X.FillBytes(x)), b64(key.Y.FillBytes(y)))
}

// sign returns a JWT with the given header and payload, which may be invalid. It signs the JWT with the
// algorithm for the type of the key, regardless of the algorithm in the header.
func (i *issuer) sign(key any, header, payload string) string {
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	return i.testbed.secret(text + "." + b64(signature(key, text)))
}

func signature(key any, text string) (signed []byte) {
	sum := sha256.Sum256([]byte(text))
	var err error
	switch key := key.(type) {
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	case *rsa.PrivateKey:
		signed, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		size := (key.Params().BitSize + 7) / 8
		signed = make([]byte, 2*size)
		r, s, failed := ecdsa.Sign(rand.Reader, key, sum[:])
		if err = failed; err == nil {
			r.FillBytes(signed[:size])
			s.FillBytes(signed[size:])
		}
	case ed25519.PrivateKey:
		signed = ed25519.Sign(key, []byte(text))
	}
	if err != nil {
		panic(err) // only a faulty test passes another type
	}
	return signed
}

// jwt returns a JWT that is signed with the hub's HMAC secret. The parameter changed maps names of
// claims to JSON values that replace the default values; "" removes a claim.
func (i *issuer) jwt(changed map[string]string) string {
	return i.sign(i.hmacKey, hs256, claims(changed))
}

const (
	hs256 = `{"alg":"HS256","typ":"JWT"}`
	rs256 = `{"alg":"RS256","typ":"JWT"}`
	es256 = `{"alg":"ES256","typ":"JWT"}`
	eddsa = `{"alg":"EdDSA","typ":"JWT"}`
)

// claims returns the payload of a token that has all rights and expires in an hour. The parameter changed
// replaces or removes claims, as it does in the method jwt.
func claims(changed map[string]string) string {
	now := time.Now()
	all := map[string]string{
		"iss": quoted(issuerName), "aud": quoted(audience), "sub": `"somebody"`, "jti": quoted(uuid.NewString()),
		"exp": at(now.Add(time.Hour)), "nbf": at(now.Add(-time.Minute)), "iat": at(now),
		"subscribe": `[">"]`, "publish": `[">"]`,
	}
	maps.Copy(all, changed)
	var members []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" {
			members = append(members, quoted(name)+":"+all[name])
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// at returns a time as a NumericDate (RFC 7519, section 2) with milliseconds.
func at(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }

func quoted(s string) string {
	text, _ := json.Marshal(s) // never fails
	return string(text)
}

// key is a key that the hubs accept, with the header of the tokens that are signed with it.
type key struct {
	name, header string
	private      any
}

func (i *issuer) keys() []key {
	return []key{
		{"HS256", hs256, i.hmacKey}, {"RS256", rs256, i.rsa}, {"ES256", es256, i.ec}, {"EdDSA", eddsa, i.ed},
		{"RS256 by URL", `{"alg":"RS256","kid":"remote-rsa"}`, i.remoteRSA},
		{"ES256 by URL", `{"alg":"ES256","kid":"remote-ec"}`, i.remoteEC},
	}
}
