package auth

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// jwtVector is a token of testdata/tokens/jwt.json, with the expected result of its verification.
type jwtVector struct {
	Name     string
	Want     string // ok, bad, ended or not_yet
	Reason   string // expected part of the error message
	Issuer   string // value of JWTConfig.Issuer
	Audience string // value of JWTConfig.Audience
	Token    string

	Subject   string // expected subject; "": one that the verifier derives from the hash
	Subscribe []string
	Publish   []string
	ID        string
	Expires   float64
	SameAs    string // name of a vector with the same hash
}

type jwtVectors struct {
	Secret string
	Public string
	JWKS   json.RawMessage
	Tokens []jwtVector
}

func readVectors(t testing.TB) *jwtVectors {
	t.Helper()
	text, err := os.ReadFile("../testdata/tokens/jwt.json")
	require.NoError(t, err)
	v := new(jwtVectors)
	require.NoError(t, json.Unmarshal(text, v))
	require.NotEmpty(t, v.Tokens)
	return v
}

// token returns the token of the vector with this name.
func (v *jwtVectors) token(t testing.TB, name string) string {
	t.Helper()
	for _, vector := range v.Tokens {
		if vector.Name == name {
			return vector.Token
		}
	}
	require.Fail(t, "the test vectors contain no token with this name", name)
	return ""
}

// verifier returns a verifier with all keys of the vectors. Some of them are in its configuration;
// the others are treated as fetched from an issuer.
func (v *jwtVectors) verifier(t testing.TB, config JWTConfig) *JWT {
	t.Helper()
	config.Keys = Keys{Secret: []byte(v.Secret + "\r\n"), Public: []byte(v.Public)}
	config.JWKSURL = "https://issuer.invalid/"
	config.Log = slog.New(slog.DiscardHandler)
	j, err := NewJWT(config)
	require.NoError(t, err)
	keys, passedOver, err := parseKeySet(v.JWKS)
	require.NoError(t, err)
	require.Len(t, keys, 4, "the %d other keys are skipped", passedOver)
	j.remote.keys, j.remote.everFetched, j.remote.lastSucceeded, j.remote.fetching = keys, true, true, nil
	j.remote.interval = 0
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-j.remote.wanted:
				j.remote.startFetch()
				j.remote.endFetch(nil, time.Hour)
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		<-ended
	})
	return j
}

var wanted = map[string]error{"bad": ErrBadToken, "ended": ErrTokenEnded, "not_yet": ErrTokenNotYet}

// The test verifies tokens that were signed by another implementation. The fake clock starts in the
// year 2000.
func TestJWTVectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vectors := readVectors(t)
		hashes := map[string][32]byte{}
		for _, v := range vectors.Tokens {
			j := vectors.verifier(t, JWTConfig{Issuer: v.Issuer, Audience: v.Audience, Limits: Limits{PublishRate: 7}})
			c, err := j.Verify(t.Context(), nil, v.Token)
			if v.Want != "ok" {
				require.ErrorIs(t, err, wanted[v.Want], v.Name)
				require.ErrorContains(t, err, v.Reason, v.Name)
				require.Nil(t, c, v.Name)
				for part := range strings.SplitSeq(v.Token, ".") {
					require.False(t, part != "" && strings.Contains(err.Error(), part), v.Name)
				}
				continue
			}
			require.NoError(t, err, v.Name)
			hashes[v.Name] = c.Hash
			if v.Subject == "" {
				require.Regexp(t, "^jwt:[0-9a-f]{16}$", c.Grant.Subject, v.Name)
			} else {
				require.Equal(t, v.Subject, c.Grant.Subject, v.Name)
			}
			require.Equal(t, strings.Join(v.Subscribe, " "), strings.Join(filterStrings(c.Grant.Subscribe.Filters()), " "), v.Name)
			require.Equal(t, strings.Join(v.Publish, " "), strings.Join(filterStrings(c.Grant.Publish.Filters()), " "), v.Name)
			require.Equal(t, v.ID, c.ID, v.Name)
			seconds, fraction := math.Modf(v.Expires)
			require.True(t, time.Unix(int64(seconds), int64(fraction*1e9)).Equal(c.Expires), v.Name)
			require.Equal(t, Limits{PublishRate: 7}, c.Limits)
			if v.SameAs != "" {
				require.Equal(t, hashes[v.SameAs], c.Hash, v.Name)
			}
		}
	})
}

// The verifier accepts exactly one encoding of each valid token.
func TestJWTHasOneEncoding(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	vectors := readVectors(t)
	j := vectors.verifier(t, JWTConfig{})
	refused := func(token, how string) {
		t.Helper()
		_, err := j.Verify(t.Context(), nil, token)
		require.ErrorIs(t, err, ErrBadToken, how)
	}
	for _, name := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		good := vectors.token(t, name)
		_, err := j.Verify(t.Context(), nil, good)
		require.NoError(t, err)
		parts := strings.Split(good, ".")
		for i, part := range parts {
			respell := func(spelling string) string {
				other := append([]string(nil), parts...)
				other[i] = spelling
				return strings.Join(other, ".")
			}
			for at := range alphabet {
				if last := alphabet[at : at+1]; !strings.HasSuffix(part, last) {
					refused(respell(part[:len(part)-1]+last), name+": changed last character")
				}
			}
			for _, more := range []string{"=", "==", "\n", "\r\n", " ", "A", "AA", ".", "%3D", "\x00"} {
				refused(respell(part+more), name+": additional characters at the end")
				refused(respell(more+part), name+": additional characters at the beginning")
			}
			refused(respell(strings.NewReplacer("-", "+", "_", "/").Replace(part[:len(part)-1])+"+"), name+": standard base64 alphabet")
			refused(respell(""), name+": an empty part")
		}
		refused("."+good, name+": an additional first part")
		refused(good+"."+parts[2], name+": an additional last part")
		refused(parts[0]+"."+parts[1], name+": no signature")
	}
}

// A token with the algorithm "none", in any spelling, is refused, with and without a signature.
func TestJWTAlgorithmNoneIsRefused(t *testing.T) {
	vectors := readVectors(t)
	j := vectors.verifier(t, JWTConfig{})
	parts := strings.Split(vectors.token(t, "HS256"), ".")
	for bits := range 16 {
		alg := []byte("none")
		for i := range alg {
			if bits>>i&1 == 1 {
				alg[i] -= 'a' - 'A'
			}
		}
		for _, spelling := range []string{string(alg), string(alg) + " ", `\u00` + "6e" + string(alg[1:])} {
			header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + spelling + `"}`))
			for _, signature := range []string{"", parts[2]} {
				_, err := j.Verify(t.Context(), nil, header+"."+parts[1]+"."+signature)
				require.EqualError(t, err, "the token is not valid: its algorithm (alg) must be one of RS256, ES256, EdDSA, HS256")
			}
		}
	}
}

// Tokens that are too long are refused before they are parsed.
func TestLongJWTIsNotParsed(t *testing.T) {
	j := readVectors(t).verifier(t, JWTConfig{})
	for _, long := range []string{
		strings.Repeat(".", 1<<20),
		strings.Repeat("a", 1<<20) + ".a.a",
		"a.a." + strings.Repeat("a", MaxTokenLen),
	} {
		allocated := testing.AllocsPerRun(1, func() {
			_, err := j.Verify(t.Context(), nil, long)
			require.Equal(t, ErrBadToken, err)
		})
		require.Less(t, allocated, 100.0)
	}
	nested := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","x":` + strings.Repeat("[", 4000)))
	_, err := j.Verify(t.Context(), nil, nested+".e30.")
	require.ErrorIs(t, err, ErrBadToken)
}

func TestJWTRecheck(t *testing.T) {
	vectors := readVectors(t)
	j := vectors.verifier(t, JWTConfig{})
	named, err := j.Verify(t.Context(), nil, vectors.token(t, "id and no subject"))
	require.NoError(t, err)
	nameless, err := j.Verify(t.Context(), nil, vectors.token(t, "HS256"))
	require.NoError(t, err)
	review := func(c *Credential, want error) {
		t.Helper()
		now, err := j.Recheck(c)
		require.ErrorIs(t, err, want)
		require.True(t, want != nil || now == c)
	}
	for _, list := range []string{"", "# id-1\n\nid-10\nID-1\nid-1#\nid 1", "\n \n\r\n"} {
		require.NoError(t, j.SetRevoked([]byte(list)))
		review(named, nil)
		review(nameless, nil)
	}
	for _, list := range []string{"id-1", "\ufeffid-1\n", "#\r\nx\r\n\tid-1 \r\n"} {
		require.NoError(t, j.SetRevoked([]byte(list)))
		review(named, ErrTokenEnded)
		review(nameless, nil)
		_, err := j.Verify(t.Context(), nil, vectors.token(t, "id and no subject"))
		require.Equal(t, ErrTokenEnded, err)
	}
	require.EqualError(t, j.SetRevoked(make([]byte, 16<<20+1)), "want at most 16777216 bytes, got 16777217")
	review(named, ErrTokenEnded)

	require.NoError(t, j.SetKeys(Keys{}), "the keys of the URL stay in use")
	review(nameless, nil)
	_, err = j.Verify(t.Context(), nil, vectors.token(t, "HS256"))
	require.ErrorIs(t, err, ErrBadToken)
}

// The verifier accepts no token other than the valid test vectors.
func FuzzJWT(f *testing.F) {
	vectors := readVectors(f)
	good := map[string]bool{}
	for _, v := range vectors.Tokens {
		if len(v.Token) < 1000 { // the fuzzer is slow to minimize long inputs
			f.Add(v.Token)
		}
		good[v.Token] = v.Want == "ok" || v.Want == "not_yet" || v.Issuer+v.Audience != ""
	}
	j := vectors.verifier(f, JWTConfig{})
	f.Fuzz(func(t *testing.T, token string) {
		c, err := j.Verify(t.Context(), nil, token)
		if err == nil {
			require.True(t, good[token], "%q was accepted, but is not a valid token", token)
			return
		}
		require.Nil(t, c)
		require.NotErrorIs(t, err, ErrUnavailable)
	})
}

// If a payload is accepted, it is valid JSON and has a valid expiry.
func FuzzClaims(f *testing.F) {
	for _, v := range readVectors(f).Tokens {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(v.Token, ".")[1])
		require.NoError(f, err)
		if len(payload) < 300 { // the fuzzer is slow to minimize long inputs
			f.Add(payload)
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseClaims(payload)
		if err != nil {
			return
		}
		require.True(t, json.Valid(payload))
		require.False(t, c.expires.IsZero() || c.expires.Unix() < 0 || c.expires.Unix() > maxDate)
	})
}
