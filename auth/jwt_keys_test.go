package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// pemOf encodes a public or private key.
func pemOf(t *testing.T, k any) string {
	t.Helper()
	kind, marshal := "PRIVATE KEY", x509.MarshalPKCS8PrivateKey
	switch k.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		kind, marshal = "PUBLIC KEY", x509.MarshalPKIXPublicKey
	}
	der, err := marshal(k)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// signers returns a private key of each kind.
func signers(t *testing.T) (rsaKey *rsa.PrivateKey, ecKey *ecdsa.PrivateKey, edKey ed25519.PrivateKey) {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, edKey, err = ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return rsaKey, ecKey, edKey
}

// An invalid key is refused with a reason, and the old keys stay in use.
func TestSetKeys(t *testing.T) {
	vectors := readVectors(t)
	rsaKey, ecKey, edKey := signers(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	long := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), maxRSABits, 1), E: 65537}
	short := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), minRSABits-2, 1), E: 65537}
	good := pemOf(t, edKey.Public())

	j, err := NewJWT(JWTConfig{Keys: Keys{Public: []byte(vectors.Public)}})
	require.NoError(t, err)
	for _, tt := range []struct{ secret, public, want string }{
		{want: "no key to verify tokens with: want a secret, public keys or the URL of a key set"},
		{secret: strings.Repeat("x", 31) + "\n", want: "the secret: want 32 to 1048576 bytes, not counting white space at the end, got 31"},
		{secret: " \n\t", want: "the secret: want 32 to 1048576 bytes, not counting white space at the end, got 0"},
		{public: "\n", want: "the public keys: want PEM blocks of public keys or certificates, found none"},
		{public: good[:40], want: "the public keys: want PEM blocks of public keys or certificates, found none"},
		{public: good + pemOf(t, edKey), want: `the public keys: PEM block 2: want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, got "PRIVATE KEY"`},
		{public: pemOf(t, p384.Public()), want: "the public keys: PEM block 1: want an RSA, P-256 or Ed25519 key"},
		{public: pemOf(t, short), want: "the public keys: PEM block 1: want an RSA key of 2048 to 8192 bits, got 2047"},
		{public: pemOf(t, long), want: "the public keys: PEM block 1: want an RSA key of 2048 to 8192 bits, got 8193"},
		{public: good + strings.Replace(good, "\n", "\n?", 1) + good, want: "the public keys: 3 PEM blocks begin in the file, but only 2 can be read"},
		{public: strings.Repeat(good, 101), want: "the public keys: want at most 100 keys, got 101"},
		{public: strings.Repeat("x", 1<<20+1), want: "the public keys: want at most 1048576 bytes, got 1048577"},
		{secret: "x", public: "x", want: "the secret: want 32 to 1048576 bytes, not counting white space at the end, got 1\n" +
			"the public keys: want PEM blocks of public keys or certificates, found none"},
	} {
		keys := Keys{}
		if tt.secret != "" {
			keys.Secret = []byte(tt.secret)
		}
		if tt.public != "" {
			keys.Public = []byte(tt.public)
		}
		require.EqualError(t, j.SetKeys(keys), tt.want)
		_, err := NewJWT(JWTConfig{Keys: keys})
		require.EqualError(t, err, tt.want)
		_, err = j.Verify(t.Context(), nil, vectors.token(t, "RS256"))
		require.NoError(t, err, "the old keys stay in use")
	}

	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ecKey.Public(), ecKey)
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)})
	require.NoError(t, j.SetKeys(Keys{Public: []byte("a certificate\n" + string(certificate) + string(pkcs1) + good)}))
	_, err = j.Verify(t.Context(), nil, vectors.token(t, "RS256"))
	require.ErrorIs(t, err, ErrBadToken, "the old keys were replaced")
	for _, private := range []any{rsaKey, ecKey, edKey} {
		mintAndVerify(t, j, []byte(pemOf(t, private)), NewPrivateKey)
	}
	require.NoError(t, j.SetKeys(Keys{Secret: []byte(strings.Repeat("s", 32))}))
	mintAndVerify(t, j, []byte(strings.Repeat("s", 32)+" \r\n"), NewSecretKey)
}

// mintAndVerify requires that a verifier accepts a minted token, and that the token has the given
// claims.
func mintAndVerify(t *testing.T, j *JWT, file []byte, parse func([]byte) (*SigningKey, error)) {
	t.Helper()
	k, err := parse(file)
	require.NoError(t, err)
	want := Claims{
		Subject: "älice", ID: "id", Issuer: "i", Audience: "a", Expires: time.Now().Add(time.Minute).Truncate(time.Second),
		Subscribe: []hub.Filter{hub.Everything},
	}
	token, err := k.Mint("kid", want)
	require.NoError(t, err)
	c, err := j.Verify(t.Context(), nil, token)
	require.NoError(t, err)
	require.Equal(t, []string{"jwt:sub:" + want.Subject, want.ID}, []string{c.Grant.Subject, c.ID})
	require.Equal(t, []hub.Filter{hub.Everything}, c.Grant.Subscribe.Filters())
	require.Zero(t, c.Grant.Publish.Len())
	require.True(t, c.Expires.Equal(want.Expires))

	want.Subject = "a\nb"
	_, err = k.Mint("", want)
	require.EqualError(t, err, "a hub would refuse the token: its subject (sub) is longer than 256 bytes or has control characters")
	want.Subject, want.Audience = "a", strings.Repeat("x", MaxTokenLen)
	_, err = k.Mint("", want)
	require.ErrorContains(t, err, "a token may have at most 8192 bytes")
}

func TestPrivateKey(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("secret")}))
	}
	for text, want := range map[string]string{
		"":                       "want a private key in PEM, found none",
		"secret":                 "want a private key in PEM, found none",
		pemOf(t, p384.Public()):  "want a private key in PEM, found none",
		pemOf(t, p384):           "want an RSA, P-256 or Ed25519 key",
		block("PRIVATE KEY"):     "the private key cannot be read; it must not be encrypted",
		block("RSA PRIVATE KEY"): "the private key cannot be read; it must not be encrypted",
		block("EC PRIVATE KEY"):  "the private key cannot be read; it must not be encrypted",
		block("EC PARAMETERS"):   "want a private key in PEM, found none",
	} {
		_, err := NewPrivateKey([]byte(text))
		require.EqualError(t, err, want)
	}
}
