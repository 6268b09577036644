//go:build !js

package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// signedVector is a row of testdata/ingress/signed.json, which was generated with Python's module hmac.
type signedVector struct {
	Name         string
	Secret       string
	SecretBase64 []byte `json:"secret_base64"`
	vectorInput
	Payload        string
	PayloadBase64  []byte `json:"payload_base64"`
	Seconds, Nanos int64
	AsSigned       bool `json:"as_signed"` // whether SignDatagram returns the same bytes
	Refused        bool
}

func (v *signedVector) secret() []byte  { return append([]byte(v.Secret), v.SecretBase64...) }
func (v *signedVector) payload() []byte { return append([]byte(v.Payload), v.PayloadBase64...) }

func TestSignedDatagram(t *testing.T) {
	for _, v := range loadIngress[signedVector](t, "signed.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, err := VerifyDatagram(v.secret(), v.bytes())
			if v.Refused {
				require.Error(t, err)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			at := time.Unix(v.Seconds, v.Nanos)
			require.True(t, at.Equal(got.Time), got.Time)
			require.Equal(t, string(v.payload()), string(got.Payload))
			mac, err := hex.DecodeString(string(v.bytes()[:macHexLen]))
			require.NoError(t, err)
			require.Equal(t, mac, got.MAC[:])
			signed := SignDatagram([]byte("before"), v.secret(), at, v.payload())
			require.Equal(t, v.AsSigned, string(signed) == "before"+string(v.bytes()))
		})
	}
}

// VerifyDatagram accepts a datagram that was signed with the same secret. It refuses the datagram if any
// bit was changed.
func TestSignedDatagramVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "secret")
		payload := rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		at := time.Unix(rapid.Int64Range(0, 999_999_999_999).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		datagram := SignDatagram(nil, secret, at, payload)
		got, err := VerifyDatagram(secret, datagram)
		require.NoError(t, err)
		require.True(t, at.Equal(got.Time))
		require.True(t, bytes.Equal(payload, got.Payload))

		i := rapid.IntRange(0, len(datagram)-1).Draw(t, "changed")
		bit := rapid.IntRange(0, 7).Filter(func(bit int) bool {
			letter := datagram[i]|0x20 >= 'a' && datagram[i]|0x20 <= 'f'
			return i >= macHexLen || bit != 5 || !letter // bit 5 changes only the case of a hexadecimal digit
		}).Draw(t, "bit")
		datagram[i] ^= 1 << bit
		_, err = VerifyDatagram(secret, datagram)
		require.Error(t, err)
	})
}

// VerifyDatagram never panics. If it accepts a datagram, and the payload is signed again with the time in
// the datagram, VerifyDatagram returns the same payload and time for the new datagram.
func FuzzVerifyDatagram(f *testing.F) {
	for _, v := range loadIngress[signedVector](f, "signed.json") {
		f.Add(v.secret(), v.bytes(), false)
	}
	f.Add([]byte("k"), []byte("1767225600123.5 x"), true)
	f.Fuzz(func(t *testing.T, secret, datagram []byte, sign bool) {
		if sign { // signs the input, because a fuzzer cannot guess an HMAC
			sum := macOf(secret, datagram)
			datagram = append(hex.AppendEncode(nil, sum[:]), append([]byte(" "), datagram...)...)
		}
		got, err := VerifyDatagram(secret, datagram)
		if err != nil {
			require.Zero(t, got)
			return
		}
		require.True(t, bytes.HasSuffix(datagram, got.Payload))
		again, err := VerifyDatagram(secret, SignDatagram(nil, secret, got.Time, got.Payload))
		require.NoError(t, err)
		require.True(t, got.Time.Equal(again.Time))
		require.True(t, bytes.Equal(got.Payload, again.Payload))
	})
}
