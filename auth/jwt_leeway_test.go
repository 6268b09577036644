package auth

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// The leeway applies to nbf, so that a token is accepted if the issuer's clock is ahead. It does
// not apply to exp.
func TestJWTLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := []byte("a secret of thirty-two bytes, or more")
		sign := func(name string, ahead time.Duration) string {
			claims := jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}
			claims[name] = float64(time.Now().Add(ahead).UnixMilli()) / 1000
			token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
			require.NoError(t, err)
			return token
		}
		for _, c := range []struct {
			leeway time.Duration
			claim  string
			ahead  time.Duration
			want   error
		}{
			{0, "nbf", 0, nil},
			{0, "nbf", time.Second, ErrTokenNotYet},
			{time.Minute, "nbf", time.Minute, nil},
			{time.Minute, "nbf", time.Minute + time.Second, ErrTokenNotYet},
			{0, "iat", time.Hour, nil},
			{time.Minute, "exp", 0, ErrTokenEnded},
			{time.Minute, "exp", -time.Second, ErrTokenEnded},
			{time.Minute, "exp", time.Second, nil},
		} {
			j, err := NewJWT(JWTConfig{Keys: Keys{Secret: secret}, Leeway: c.leeway})
			require.NoError(t, err)
			_, err = j.Verify(t.Context(), nil, sign(c.claim, c.ahead))
			require.ErrorIs(t, err, c.want, "%+v", c)
		}
	})
}
