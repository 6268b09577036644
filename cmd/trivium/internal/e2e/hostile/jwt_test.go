package hostile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

func forgedSignature(t *testing.T, f *testbed) {
	for _, k := range f.keys() {
		good := f.sign(k.private, k.header, claims(nil))
		f.requireAccepted(t, good)
		dot := strings.LastIndex(good, ".")
		text, sum := good[:dot], good[dot+1:]
		raw, err := base64.RawURLEncoding.DecodeString(sum)
		require.NoError(t, err)
		flipped := bytes.Clone(raw)
		flipped[len(raw)/2] ^= 1
		another := f.sign(k.private, k.header, claims(map[string]string{"sub": `"another"`}))
		forged := map[string]string{
			"flipped":  text + "." + b64(flipped),
			"none":     text + ".",
			"cut":      text + "." + b64(raw[:len(raw)-1]),
			"longer":   text + "." + b64(append(raw, 0)),
			"another":  text + another[strings.LastIndex(another, "."):],
			"padded":   good + "=",
			"more":     good + ".",
			"no first": good[strings.Index(good, "."):],
			"strange":  f.sign(f.strange, rs256, claims(nil)),
			"SHA-256":  text + "." + b64(sha(text)),
			// The last character of a base64 string can contain bits that decoders ignore. In this
			// token, only these bits are changed.
			"stray bits": good[:len(good)-1] + string(rune(good[len(good)-1]+1)),
		}
		if len(raw)%3 == 0 {
			delete(forged, "stray bits") // the base64 string of this token has no such bits
		}
		for _, token := range forged {
			f.requireRefused(t, f.secret(token))
		}
	}
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, f.sign([]byte("a secret of thirty-two bytes, or more"), hs256, claims(nil)))
}

func sha(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func algNone(t *testing.T, f *testbed) {
	for bits := range 16 {
		alg := []byte("none")
		for i := range alg {
			alg[i] -= byte(bits >> i & 1 * ('a' - 'A'))
		}
		header := fmt.Sprintf(`{"alg":"%s","typ":"JWT"}`, alg)
		signed := f.sign(f.hmacKey, header, claims(nil))
		f.requireRefused(t, signed)
		f.requireRefused(t, f.secret(signed[:strings.LastIndex(signed, ".")+1]))
	}
	for _, header := range []string{
		`{}`, `{"alg":""}`, `{"alg":null}`, `{"alg":["HS256"]}`, `{"alg":"hs256"}`, `{"alg":"HS256 "}`, `{"alg":"HS512"}`,
		`{"alg":"HS256","alg":"none"}`, `{"alg":"none","alg":"HS256"}`, `{"Alg":"HS256"}`, `{"alg":"HS256","typ":1}`, `null`, `[]`, `{`, ``,
	} {
		f.requireRefused(t, f.sign(f.hmacKey, header, claims(nil)))
	}
}

func confusedAlgorithm(t *testing.T, f *testbed) {
	for _, public := range []*rsa.PublicKey{&f.rsa.PublicKey, &f.remoteRSA.PublicKey} {
		spki, pkcs1 := publicDER(t, public), x509.MarshalPKCS1PublicKey(public)
		text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
		for _, secret := range [][]byte{
			[]byte(text), []byte(strings.TrimSpace(text)), []byte(strings.ReplaceAll(text, "\n", "\r\n")), []byte(strings.ReplaceAll(text, "\n", "")),
			pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}), spki, pkcs1,
			[]byte(base64.StdEncoding.EncodeToString(spki)), []byte(b64(spki)), public.N.Bytes(), []byte(public.N.String()), []byte(b64(public.N.Bytes())),
			[]byte(f.pem), []byte(strings.TrimSpace(f.pem)), f.keySet, []byte(rsaJWK("remote-rsa", f.remoteRSA)), {}, []byte("\x00"),
		} {
			f.requireRefused(t, f.sign(secret, hs256, claims(nil)))
			f.requireRefused(t, f.sign(secret, `{"alg":"HS256","kid":"remote-rsa"}`, claims(nil)))
		}
	}
	// A hub refuses a token that is signed with one key while its header names the algorithm of another key.
	for _, signer := range f.keys() {
		for _, claimed := range f.keys() {
			if signer.header != claimed.header && signer.name[:5] != claimed.name[:5] {
				f.requireRefused(t, f.sign(signer.private, claimed.header, claims(nil)))
			}
		}
	}
}

func badCurve(t *testing.T, f *testbed) {
	text := b64([]byte(es256)) + "." + b64([]byte(claims(nil)))
	n := elliptic.P256().Params().N.Bytes()
	one := append(make([]byte, 31), 1)
	der, err := ecdsa.SignASN1(rand.Reader, f.ec, sha(text))
	require.NoError(t, err)
	for _, signed := range [][]byte{
		make([]byte, 64), append(bytes.Clone(one), make([]byte, 32)...), append(make([]byte, 32), one...), append(bytes.Clone(n), n...),
		append(bytes.Clone(one), one...), der, bytes.Repeat([]byte{0xff}, 64), make([]byte, 96), make([]byte, 63),
	} {
		f.requireRefused(t, f.secret(text+"."+b64(signed)))
	}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P384(), elliptic.P521()} {
		f.requireRefused(t, f.sign(ecKey(t, curve), es256, claims(nil)))
	}
	f.requireRefused(t, f.sign(f.ec, `{"alg":"ES384"}`, claims(nil)))
	psRaw, err := rsa.SignPSS(rand.Reader, f.rsa, crypto.SHA256, sha(text), nil)
	require.NoError(t, err)
	f.requireRefused(t, f.secret(text+"."+b64(psRaw)))
}

func strangeKid(t *testing.T, f *testbed) {
	for _, kid := range []string{
		"remote-ec", "Remote-RSA", "remote-rsa\x00", "../../../../../../dev/null", "/proc/self/environ", "file:///dev/null", f.url + "/lure",
		"' OR '1'='1", "x' UNION SELECT 'k';--", "$(id)", "*", strings.Repeat("k", 4000), "\x1b[31m\n",
	} {
		header := `{"alg":"RS256","kid":` + quoted(kid) + `}`
		f.requireUnknownKey(t, f.sign(f.remoteRSA, header, claims(nil)))
		f.requireUnknownKey(t, f.sign(f.strange, header, claims(nil)))
		f.requireRefused(t, f.sign([]byte{}, `{"alg":"HS256","kid":`+quoted(kid)+`}`, claims(nil)))
	}
	for _, header := range []string{`{"alg":"RS256","kid":1}`, `{"alg":"RS256","kid":null}`, `{"alg":"RS256","kid":["remote-rsa"]}`, `{"alg":"RS256","kid":"remote-rsa","kid":"remote-rsa"}`} {
		f.requireRefused(t, f.sign(f.remoteRSA, header, claims(nil)))
	}
	for _, kid := range []string{"remote-rsa", "remote-ec"} {
		f.requireRefused(t, f.sign(f.strange, `{"alg":"RS256","kid":"`+kid+`"}`, claims(nil)))
	}
	f.requireUnknownKey(t, f.sign(f.strange, `{"alg":"RS256","kid":"strange"}`, claims(nil)))
	require.Zero(t, f.luredBySome.Load())
}

func kidFlood(t *testing.T, f *testbed) {
	good := f.sign(f.remoteEC, `{"alg":"ES256","kid":"remote-ec"}`, claims(nil))
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() { f.floodUnknownKeys(t, f.main, n, func(i int) bool { return i < 100 }) })
	}
	for range 50 {
		f.requireAccepted(t, good)
	}
	all.Wait()
	// Four hubs of the testbed fetch keys from the issuer's URL, and other attacks also cause such
	// fetches.
	most := 4 * mostFetches(time.Since(f.began))
	t.Logf("%d fetches by four hubs, %d allowed", f.fetched.Load(), most)
	require.LessOrEqual(t, f.fetched.Load(), most)
}

// mostFetches returns the maximum number of requests that a hub may send to the issuer's URL,
// regardless of the tokens that it receives: one at its start and one per six seconds, rounded up.
func mostFetches(running time.Duration) int64 { return 2 + int64(running/(6*time.Second)) }

// floodUnknownKeys sends tokens whose key IDs the hub does not know, as long as more returns true.
func (f *testbed) floodUnknownKeys(t *testing.T, p *hubtest.Process, attacker int, more func(i int) bool) {
	for i := 0; more(i); i++ {
		header := fmt.Sprintf(`{"alg":"RS256","kid":"flood-%d-%d"}`, attacker, i)
		token := f.sign([]byte("no RSA at all"), header, claims(nil))
		status := f.do(t, request{hub: p, line: pollNow, token: token}).status
		if status != http.StatusUnauthorized && status != http.StatusServiceUnavailable {
			t.Errorf("got %d", status)
		}
	}
}

// requireUnknownKey requires that the hub refuses a token with an unknown key ID. The refusal may be
// temporary, because the hub must fetch the keys before it can decide whether the token is valid.
func (f *testbed) requireUnknownKey(t *testing.T, token string) {
	t.Helper()
	for _, route := range []string{pollNow, "POST /publish"} {
		r := request{line: route, token: token}
		if strings.HasPrefix(route, "POST") {
			r.body = breachIn("hostile")
		}
		x := f.do(t, r)
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusServiceUnavailable}, x.status, x.body)
		require.Equal(t, x.status == http.StatusServiceUnavailable, x.header.Get("Retry-After") != "")
	}
}

func ownKeys(t *testing.T, f *testbed) {
	jwk := rsaJWK("strange", f.strange)
	for _, more := range []string{
		`"jwk":` + jwk, `"jku":"` + f.url + `/lure"`, `"jku":"` + f.url + `/lure","kid":"strange"`, `"x5u":"` + f.url + `/lure"`,
		`"x5c":["` + base64.StdEncoding.EncodeToString(publicDER(t, &f.strange.PublicKey)) + `"]`, `"x5t":"AAAA"`,
		`"jwk":` + jwk + `,"kid":"remote-rsa"`, `"iss":"` + f.url + `"`,
	} {
		shut := f.requireRefused
		if strings.Contains(more, `"kid":"strange"`) {
			shut = f.requireUnknownKey
		}
		shut(t, f.sign(f.strange, `{"alg":"RS256",`+more+`}`, claims(nil)))
		shut(t, f.sign(f.strange, `{"alg":"RS256",`+more+`}`, claims(map[string]string{"iss": quoted(f.url)})))
	}
	// The hub ignores keys and URLs in the header of a valid token. It refuses a header with a member "crit",
	// or with a member "b64" that is not true.
	f.requireAccepted(t, f.sign(f.rsa, `{"alg":"RS256","jku":"`+f.url+`/lure","x5u":"`+f.url+`/lure","jwk":`+jwk+`}`, claims(nil)))
	for _, more := range []string{
		`"crit":["exp"],"exp":1`, `"crit":[]`, `"crit":null`, `"crit":"x"`, `"crit":["b64"],"b64":true`, `"b64":false`,
		`"crit":["http://openid.net/specs/jwt"],"http://openid.net/specs/jwt":true`,
	} {
		f.requireRefused(t, f.sign(f.rsa, `{"alg":"RS256",`+more+`}`, claims(nil)))
	}
	require.Zero(t, f.luredBySome.Load())
}

func otherIssuer(t *testing.T, f *testbed) {
	for _, k := range f.keys() {
		for _, iss := range []string{"", `""`, quoted(issuerName + "/"), quoted("HTTPS://issuer.example"), quoted(issuerName + ".evil.test"), `"https://"`, `["` + issuerName + `"]`, quoted(f.url)} {
			f.requireRefused(t, f.sign(k.private, k.header, claims(map[string]string{"iss": iss})))
		}
		for _, aud := range []string{"", `""`, `[]`, `"Trivium"`, `"trivium "`, `"triviu"`, `["other","trivium2"]`, `["trivium",1]`, `{"trivium":1}`} {
			f.requireRefused(t, f.sign(k.private, k.header, claims(map[string]string{"aud": aud})))
		}
	}
	f.requireAccepted(t, f.jwt(map[string]string{"aud": `["other","trivium"]`}))
}

func wrongClaims(t *testing.T, f *testbed) {
	noDate := []string{
		`"9999999999"`, `null`, `true`, `[]`, `{}`, `[9999999999]`, `-1`, `-9999999999`, `1e400`, `-1e400`, `NaN`, `Infinity`, `0x7fffffff`,
		`09999999999`, `99999999999999999999`, `1e18`, `"2100-01-01T00:00:00Z"`, `""`,
	}
	noText := []string{`1`, `null`, `true`, `[]`, `{}`, `["x"]`}
	noFilters := []string{`">"`, `null`, `1`, `true`, `{}`, `{"0":">"}`, `[1]`, `[null]`, `[[">"]]`, `["a*"]`, `[""]`, `["a..b"]`, `[">.a"]`, `["a",""]`, `["\u0000"]`}
	for claim, values := range map[string][]string{
		"exp": append([]string{""}, noDate...), "nbf": noDate, "iat": noDate,
		"iss": noText, "sub": append(noText, `"\n"`, `"\u001b[31m"`, quoted(strings.Repeat("s", 257))),
		"jti": append(noText, `" a"`, `"#a"`, `"a\nb"`), "aud": {`1`, `null`, `true`, `{}`, `[1]`, `[null]`, `[["trivium"]]`},
		"subscribe": noFilters, "publish": noFilters,
	} {
		for _, value := range values {
			f.requireRefused(t, f.jwt(map[string]string{claim: value}))
		}
	}
	good := claims(nil)
	for _, payload := range []string{
		"", " ", "null", "[]", `"x"`, "1", "{", good + good, good + "x", "[" + good + "]", strings.Repeat("[", 3000), good[:len(good)-1],
		good[:len(good)-1] + `,"exp":9999999999}`, good[:len(good)-1] + `,"\u0065xp":9999999999}`, good[:len(good)-1] + `,"subscribe":[">"]}`,
		strings.Replace(good, `"exp"`, `"EXP"`, 1), strings.Replace(good, `"sub"`, "\"s\xff\"", 1), "\ufeff" + good,
	} {
		f.requireRefused(t, f.sign(f.hmacKey, hs256, payload))
	}
	f.requireAccepted(t, f.jwt(map[string]string{"exp": "9999999999.5", "nbf": "0", "sub": "", "jti": ""}))
}
